"""Write the mails of people, or of the sample, as HTML: ``python -m recsync.preview PROGRAM FOLDER``.

``make preview`` runs it. Standard input holds ids of people, one a line; without any, the sample is rendered. Ids
are not arguments: every user of the machine can read command lines.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path

from recsync.errors import DELIBERATE
from recsync.preview.gallery import gallery
from recsync.preview.mails import Preview, preview

# Braze allows 50 reads of a catalog a minute.
_MAX_SECONDS = 3600.0


def main() -> int:
    """Write the mails, and print what to look at."""
    parser = argparse.ArgumentParser(prog="python -m recsync.preview", description=__doc__)
    parser.add_argument("program", help="name of a file in include/programs, without .yaml")
    parser.add_argument("folder", type=Path, help="where to write the mails")
    arguments = parser.parse_args()
    people = [line.strip() for line in sys.stdin.read().splitlines() if line.strip()]
    try:
        found = preview(arguments.program, people, seconds=_MAX_SECONDS)
    except DELIBERATE as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    write(found, arguments.folder)
    print("\n".join(summary(found)))
    return 0


def write(found: Preview, folder: Path) -> None:
    """Write each mail, and ``index.html`` with all; files of an earlier preview are removed.

    Only the owner of the folder may read them, because they hold data of people.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for old in (*folder.glob("*.html"), *folder.glob("*.png"), *folder.glob("mails.json")):
        old.unlink()
    files = []
    for number, mail in enumerate(found.mails, 1):
        if mail.html:
            name = f"{number:02d}-{re.sub(r'[^a-z0-9]+', '-', mail.chosen.label)}.html"
            (folder / name).write_text(mail.html, encoding="utf-8")
            files.append(name)
    (folder / "index.html").write_text(gallery(found, f"Mails of {found.program}"), encoding="utf-8")
    (folder / "mails.json").write_text(json.dumps(files))


def summary(found: Preview) -> list[str]:
    """Return a line for each mail, with its findings and without ids."""
    lines = [f"template: {problem}" for problem in found.problems]
    for number, mail in enumerate(found.mails, 1):
        state = "rendered" if mail.html else f"nothing would be sent: {mail.aborted or 'the mail is empty'}"
        lines.append(f"{number:3}  {mail.chosen.label}: {state}")
        lines += [f"     {finding.level}: {finding.text}" for finding in mail.findings]
    return lines


if __name__ == "__main__":
    sys.exit(main())
