"""Take the docs' pictures of the pages, light and dark: of the local stack after `make demo`, and of made documents.

A stack that began a minute ago has no history, so the pages with trends show the documents of examples/pages.
"""

from __future__ import annotations

import json
import subprocess  # ruff: ignore[suspicious-subprocess-import] - examples/pages/serve.py
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from docs_site.hooks import DARK, REPO
from stack.airflow_api import AirflowApi
from stack.browser import Browser, log_in, open_browser
from stack.console import make_plan, say
from stack.errors import StackError
from stack.secret_files import ADMIN

PAGES = REPO / "examples" / "pages" / "serve.py"
_PAGES_PORT = 8899
_PAGES_SECONDS = 120
PICTURES = REPO / "docs" / "pictures"
_WIDTH, _SCALE, _QUALITY = 1180, 1.25, 60
# Fonts, graphs and switched colours need some time after a page is complete.
_SETTLE_SECONDS = 2.0


def _graph(browser: Browser) -> None:
    browser.click("button", "Show Graph (Press g)")
    browser.until(lambda: browser.there(".react-flow__node"), "graph")
    browser.click("button", "Collapse Details Panel")
    browser.click(".react-flow__controls-fitview")
    browser.evaluate("document.querySelector('.react-flow__minimap')?.remove()")


def _first(selector: str) -> Callable[[Browser], None]:
    """Return an action that follows the first link of a kind."""

    def follow(browser: Browser) -> None:
        before = browser.evaluate("location.href")
        browser.evaluate(f"document.querySelector({json.dumps(selector)}).click()")
        browser.until(lambda: browser.evaluate("location.href") != before, f"page behind {selector}")

    return follow


def _framed(browser: Browser) -> None:
    table = "document.querySelector('iframe')?.contentDocument?.querySelector('tbody tr')"
    browser.until(lambda: browser.evaluate(f"!!{table}"), "page in Airflow's frame")


def _mails(browser: Browser) -> None:
    browser.evaluate("document.querySelector('button[type=submit]').click()")
    browser.until(lambda: browser.there("figure.mail iframe"), "mails", seconds=180)
    browser.evaluate("document.querySelectorAll('section')[1].scrollIntoView()")


def _why(browser: Browser) -> None:
    # One household of the sample that is not in the audience, and one with a list.
    browser.write("textarea", "2442\n1")
    browser.evaluate("document.querySelector('button[type=submit]').click()")
    browser.until(lambda: browser.evaluate("document.querySelectorAll('section').length > 2"), "explanation")
    browser.evaluate("document.querySelectorAll('section')[1].scrollIntoView()")


@dataclass(frozen=True)
class Picture:
    """A picture of a page.

    :param path: below Airflow's address; ``{run}`` is the newest successful run of ``dag``.
    :param height: in CSS pixels.
    :param act: actions on the page before the screenshot.
    :param made: whether the page shows the documents of examples/pages instead of the stack's.
    """

    name: str
    path: str
    height: int
    act: Callable[[Browser], None] | None = None
    dag: str = ""
    made: bool = False


_ALL = (
    Picture("graph", "/dags/{dag}/runs/{run}", 560, _graph, dag="grocery_recommend"),
    Picture("preview", "/recsync/preview/grocery", 980, _mails),
    Picture("explain", "/recsync/explain/grocery", 980, _why),
    Picture("deliveries", "/recsync/deliveries/grocery", 950, made=True),
    Picture("delivery", "/recsync/deliveries/grocery", 1000, _first("tbody th a"), made=True),
    Picture("export", "/recsync/reports/grocery", 900, _first("tbody th a")),
    Picture("exports", "/recsync/reports/grocery", 850, made=True),
    Picture("experiment", "/recsync/experiments/grocery", 1090, made=True),
    Picture("models", "/recsync/models/grocery", 850, made=True),
    Picture("costs", "/recsync/costs/grocery", 1040, made=True),
)


def main() -> int:
    """Take all pictures, those that are named on the command line, or with ``made`` those of made documents."""
    named = sys.argv[1:]
    chosen = [each for each in _ALL if not named or each.name in named or (each.made and "made" in named)]
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile,
        open_browser(Path(profile)) as browser,
    ):
        browser.call("Emulation.setScrollbarsHidden", hidden=True)
        if made := [each for each in chosen if each.made]:
            with _made_pages() as address:
                for picture in made:
                    _take(browser, address + picture.path, picture)
                    _fits_a_phone(browser, picture)
        if of_stack := [each for each in chosen if not each.made]:
            plan = make_plan()
            url, password = plan.url("airflow"), plan.secrets.airflow_admin_password
            api = AirflowApi(url, ADMIN, password)
            log_in(browser, url, ADMIN, password)
            for picture in of_stack:
                path = picture.path.format(dag=picture.dag, run=_run(api, picture.dag))
                _take(browser, url + path, picture)
    total = sum(path.stat().st_size for path in PICTURES.glob("*.webp"))
    say(f"{len(chosen)} pictures, light and dark; all of them together {total / 1000:,.0f} KB")
    return 0


@contextmanager
def _made_pages() -> Generator[str]:
    """Serve the pages over made documents; yield their address."""
    address = f"http://127.0.0.1:{_PAGES_PORT}"
    command = [sys.executable, str(PAGES), str(_PAGES_PORT)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:  # ruff: ignore[subprocess-without-shell-equals-true]
        try:
            deadline = time.monotonic() + _PAGES_SECONDS
            while time.monotonic() < deadline and process.poll() is None:
                with suppress(OSError), urllib.request.urlopen(f"{address}/recsync/reports"):  # ruff: ignore[suspicious-url-open-usage]
                    break
                time.sleep(0.5)
            else:
                raise StackError(f"{PAGES} did not answer: run it by hand to see why.")
            yield address
        finally:
            process.terminate()


def _fits_a_phone(browser: Browser, picture: Picture) -> None:
    """Check that the page does not scroll sideways on a narrow screen, and that no script or resource failed."""
    browser.width(390, mobile=True)
    time.sleep(_SETTLE_SECONDS / 4)
    width = browser.evaluate("document.documentElement.scrollWidth")
    if width > 390:
        raise StackError(f"{picture.name} is {width} pixels wide on a screen of 390.")
    if errors := browser.errors():
        raise StackError(f"The console of {picture.name} has errors: {'; '.join(errors)}")


def _run(api: AirflowApi, dag: str) -> str:
    """Return the newest successful run of a DAG; empty for none."""
    if not dag:
        return ""
    runs = [run["dag_run_id"] for run in api.dag_runs(dag) if run["state"] == "success"]
    if not runs:
        raise StackError(f"{dag} has no successful run yet: make demo first.")
    return str(runs[-1])


def _take(browser: Browser, address: str, picture: Picture) -> None:
    size = {"width": _WIDTH, "height": picture.height, "deviceScaleFactor": _SCALE, "mobile": False}
    browser.call("Emulation.setDeviceMetricsOverride", **size)
    browser.open(address)
    wanted = json.dumps(address.partition("/recsync")[2] or address)
    browser.until(
        lambda: browser.evaluate(f"document.readyState === 'complete' && location.href.includes({wanted})"),
        f"page {address}",
    )
    if picture.act:
        picture.act(browser)
    for dark in (False, True):
        browser.dark(dark)
        time.sleep(_SETTLE_SECONDS)
        browser.screenshot(PICTURES / f"{picture.name}{DARK * dark}.webp", quality=_QUALITY)


if __name__ == "__main__":
    sys.exit(main())
