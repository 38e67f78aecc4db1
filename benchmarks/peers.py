"""Install the peers apart from the project: ``python -m benchmarks.peers``."""

from __future__ import annotations

import subprocess
import venv
from pathlib import Path

from benchmarks.places import PEERS_VENV

_HERE = Path(__file__).parent


def apart() -> dict[str, str]:
    """Return the packages that need a folder each: name to requirement."""
    lines = (_HERE / "requirements-apart.txt").read_text().splitlines()
    requirements = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    return {requirement.partition("==")[0]: requirement for requirement in requirements}


def install(target: Path = PEERS_VENV) -> None:
    """Make the environment anew. Raises CalledProcessError when the index does not serve a package."""
    venv.create(target, with_pip=True, clear=True)
    # Keeps git and ruff out of it without a line in the project's own .gitignore.
    (target / ".gitignore").write_text("*\n")
    pip = [str(target / "bin" / "python"), "-m", "pip", "install", "--disable-pip-version-check", "--quiet"]
    subprocess.run([*pip, "-r", str(_HERE / "requirements.txt")], check=True)
    for name, requirement in apart().items():
        folder = target / "apart" / name
        subprocess.run([*pip, "--no-deps", "--target", str(folder), requirement], check=True)


if __name__ == "__main__":
    print(f"Installing the peers into {PEERS_VENV} …", flush=True)
    install()
