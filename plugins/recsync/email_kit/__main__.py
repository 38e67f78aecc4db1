"""Write the e-mail kit of a program: ``python -m recsync.email_kit PROGRAM``; ``make kit`` runs it."""

from __future__ import annotations

import sys
from pathlib import Path

from recsync.email_kit.kit import kit_files, kit_folder
from recsync.errors import RecsyncError
from recsync.program.files import SUFFIX, program_files, read_program


def write_kit(name: str, include: Path) -> list[Path]:
    """Write the files of a program's kit below ``include/email/``, replacing those that are there.

    :raises FatalError: no such program, its file is broken, or no field is the items' name.
    """
    program = read_program(include / "programs" / f"{name}{SUFFIX}", include)
    folder = include / kit_folder(program)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for file, text in kit_files(program).items():
        (folder / file).write_text(text, encoding="utf-8")
        written.append(folder / file)
    return written


def main(arguments: list[str], include: Path) -> int:
    """Write the kits of the named programs, of all without a name."""
    status = 0
    for name in arguments or [path.stem for path in program_files(include)]:
        try:
            print("\n".join(map(str, write_kit(name, include))))
        except RecsyncError as error:
            print(f"error: {error}", file=sys.stderr)
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], Path(__file__).resolve().parents[3] / "include"))
