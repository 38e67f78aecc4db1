"""Render mails from what Braze has, and take pictures of them when Chromium is there."""

from __future__ import annotations

import argparse
import json
import subprocess  # ruff: ignore[suspicious-subprocess-import] - our own command
import sys
import tempfile
from functools import partial
from pathlib import Path

from stack.browser import CHROMIUM, Browser, open_browser
from stack.commands.forget import read_people
from stack.console import make_plan, say
from stack.supervisor import Supervisor

HELP = "show mails as Braze would render them: of people from a file, or of a sample"
# Width in CSS pixels, dark mode.
_PICTURES = ((1200, False), (1200, True), (390, False), (390, True))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the program and the file of users."""
    parser.add_argument("program", help="name of a file in include/programs, without .yaml")
    parser.add_argument(
        "--users",
        type=Path,
        help="file with one user_id, or id in Braze, a line; - reads standard input; left out: a sample",
    )
    parser.add_argument("--no-pictures", action="store_true", help="write HTML only")


def run(arguments: argparse.Namespace) -> int:
    """Start the services, write the mails and take pictures of them."""
    people: list[str] = []
    if arguments.users:
        people = read_people(None if arguments.users == Path("-") else arguments.users)
    plan = make_plan()
    Supervisor(plan, say).up(airflow=False)
    folder = plan.settings.home / "preview" / arguments.program
    # The ids go through standard input: every user of the machine can read command lines.
    done = subprocess.run(  # ruff: ignore[subprocess-without-shell-equals-true] - our own command
        [sys.executable, "-m", "recsync.preview", arguments.program, str(folder)],
        env=plan.recsync_environ(),
        input="\n".join(people),
        text=True,
        check=False,
    )
    if done.returncode:
        return done.returncode
    if CHROMIUM is None:
        say("no pictures: Chromium is not installed (Debian: apt-get install chromium)")
    elif not arguments.no_pictures:
        take_pictures(folder)
    print(f"\nmails           {folder / 'index.html'}")
    return 0


def take_pictures(folder: Path) -> list[Path]:
    """Take pictures of the mails of a folder, at two widths, light and dark."""
    mails, taken = json.loads((folder / "mails.json").read_text()), []
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile,
        open_browser(Path(profile)) as browser,
    ):
        for mail in mails:
            for width, dark in _PICTURES:
                browser.width(width, mobile=width < 600)
                browser.dark(dark)
                browser.open((folder / mail).as_uri())
                browser.until(partial(_loaded, browser, mail), f"{mail} in the browser")
                picture = folder / f"{Path(mail).stem}-{width}{'-dark' if dark else ''}.png"
                browser.screenshot(picture, whole=True)
                taken.append(picture)
    say(f"{len(taken)} pictures at 1,200 and 390 px, light and dark")
    return taken


def _loaded(browser: Browser, mail: str) -> bool:
    name = json.dumps(mail)
    return bool(browser.evaluate(f"document.readyState === 'complete' && location.href.endsWith({name})"))
