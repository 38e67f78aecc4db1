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
# What only a browser knows: sizes, loaded pictures, and the colors that result from all rules.
# https://www.w3.org/TR/WCAG22/#contrast-minimum
_LOOK = """
(() => {
  const found = new Set(), page = document.documentElement;
  if (page.scrollWidth > page.clientWidth) found.add('it scrolls sideways');
  for (const image of document.images) if (!image.naturalWidth) found.add('a picture does not load');
  const parts = text => (text.match(/[\\d.]+/g) ?? []).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(c => c / 255)
    .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const back = element => {
    for (let e = element; e; e = e.parentElement) {
      const color = parts(getComputedStyle(e).backgroundColor);
      if (color.length && color[3] !== 0) return color;
    }
    return matchMedia('(prefers-color-scheme: dark)').matches ? [18, 18, 18] : [255, 255, 255];
  };
  for (const element of document.body.querySelectorAll('*')) {
    const own = [...element.childNodes].some(n => n.nodeType === 3 && n.data.trim());
    const style = getComputedStyle(element);
    if (!own || !element.checkVisibility()) continue;
    if (style.overflowX !== 'visible' && element.scrollWidth > element.clientWidth) found.add('a text is cut off');
    const box = element.getBoundingClientRect();
    if (box.right > page.clientWidth + 1) found.add('a text is wider than the screen');
    const [high, low] = [light(parts(style.color)), light(back(element))].sort((a, b) => b - a);
    const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && style.fontWeight >= 700);
    if ((high + 0.05) / (low + 0.05) < (large ? 3 : 4.5)) found.add('a text has too little contrast');
  }
  return [...found];
})()
"""


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
        for picture, faults in take_pictures(folder).items():
            print("".join(f"{picture.name}: {fault}\n" for fault in faults), end="")
    print(f"\nmails           {folder / 'index.html'}")
    return 0


def take_pictures(folder: Path) -> dict[Path, list[str]]:
    """Take screenshots of a folder's mails, at two widths, light and dark; return the faults of each."""
    mails, taken = json.loads((folder / "mails.json").read_text()), dict[Path, list[str]]()
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
                taken[picture] = browser.evaluate(_LOOK)
    say(f"{len(taken)} pictures at 1,200 and 390 px, light and dark")
    return taken


def _loaded(browser: Browser, mail: str) -> bool:
    name = json.dumps(mail)
    return bool(browser.evaluate(f"document.readyState === 'complete' && location.href.endsWith({name})"))
