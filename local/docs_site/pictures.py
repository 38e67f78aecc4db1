"""Take the docs' pictures of Airflow's pages, light and dark, from the local stack after `make demo`."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from docs_site.hooks import DARK, REPO
from stack.airflow_api import AirflowApi
from stack.browser import Browser, log_in, open_browser
from stack.console import make_plan, say
from stack.errors import StackError
from stack.secret_files import ADMIN

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
    """

    name: str
    path: str
    height: int
    act: Callable[[Browser], None] | None = None
    dag: str = ""


_ALL = (
    Picture("graph", "/dags/{dag}/runs/{run}", 560, _graph, dag="grocery_recommend"),
    Picture("preview", "/recsync/preview/grocery", 980, _mails),
    Picture("explain", "/recsync/explain/grocery", 980, _why),
    Picture("deliveries", "/plugin/recsync-deliveries", 520, _framed),
    # The second one of make demo: a part of the lists changed.
    Picture("delivery", "/recsync/deliveries/grocery", 900, _first("tbody tr:nth-last-child(2) th a")),
    Picture("export", "/recsync/reports/grocery", 900, _first("tbody th a")),
    Picture("models", "/recsync/models/grocery", 470),
)


def main() -> int:
    """Take all pictures, or those that are named on the command line."""
    chosen = [picture for picture in _ALL if not sys.argv[1:] or picture.name in sys.argv[1:]]
    plan = make_plan()
    url, password = plan.url("airflow"), plan.secrets.airflow_admin_password
    api = AirflowApi(url, ADMIN, password)
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile,
        open_browser(Path(profile)) as browser,
    ):
        log_in(browser, url, ADMIN, password)
        browser.call("Emulation.setScrollbarsHidden", hidden=True)
        for picture in chosen:
            _take(browser, url + picture.path.format(dag=picture.dag, run=_run(api, picture.dag)), picture)
    total = sum(path.stat().st_size for path in PICTURES.glob("*.webp"))
    say(f"{len(chosen)} pictures, light and dark; all of them together {total / 1000:,.0f} KB")
    return 0


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
