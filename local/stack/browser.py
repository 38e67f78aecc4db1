"""Chromium without a window, driven by the DevTools protocol: a click is a click of the mouse, as a person's is.

https://chromedevtools.github.io/devtools-protocol/ over websockets, which Airflow brings; Debian's package is chromium.
"""

from __future__ import annotations

import base64
import json
import shutil
import subprocess  # ruff: ignore[suspicious-subprocess-import] - Chromium
import time
import urllib.request
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PATIENCE_SECONDS = 90
# Without the last ones it looks for its maker's servers at every start.
OPTIONS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
    "--remote-debugging-port=0", "--window-size=1400,1000",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-quic",
)  # fmt: skip
# What a person sees by a text: the smallest visible element that holds it, within the open dialog if there is one.
FIND = """
(selector, text) => {
  const dialogs = [...document.querySelectorAll('[role=dialog]')].filter(e => e.checkVisibility());
  const found = [...(dialogs.at(-1) ?? document).querySelectorAll(selector)].filter(e => e.checkVisibility()
    && (!text || [e.innerText, e.ariaLabel].some(name => (name ?? '').trim() === text)));
  return found.at(-1);
}
"""


class Browser:
    """One tab."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._calls = 0
        self._errors: list[str] = []
        for domain in ("Log", "Runtime"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send one command, and wait for its answer."""
        self._calls += 1
        self._socket.send(json.dumps({"id": self._calls, "method": method, "params": parameters}))
        while True:
            answer = json.loads(self._socket.recv(timeout=PATIENCE_SECONDS))
            self._errors += _errors_of(answer)
            if answer.get("id") == self._calls:
                # A page that navigates during a call answers with an error; the caller tries again.
                return dict(answer.get("result", {}))

    def errors(self) -> list[str]:
        """Return the errors in the console since the last call: of scripts, policies and failed requests."""
        self.call("Runtime.evaluate", expression="0")  # reads what came before it
        found, self._errors = self._errors, []
        return found

    def evaluate(self, expression: str) -> Any:
        """Give the value of a JavaScript expression in the page."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer.get("result", {}).get("value")

    def open(self, url: str) -> None:
        """Go to an address."""
        self.call("Page.navigate", url=url)

    def until(self, is_so: Callable[[], Any], what: str, seconds: float = PATIENCE_SECONDS) -> Any:
        """Wait until something is so, and return it."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if found := is_so():
                return found
            time.sleep(0.25)
        raise AssertionError(f"no {what}; the page says: {self.text()[-1500:]}")

    def text(self) -> str:
        """Give the page's text."""
        return str(self.evaluate("document.body?.innerText"))

    def there(self, selector: str, text: str = "") -> bool:
        """Say whether an element with this text is visible."""
        return bool(self.evaluate(f"!!({FIND})({json.dumps(selector)}, {json.dumps(text)})"))

    def enabled(self, selector: str, text: str = "") -> bool:
        """Say whether such an element is visible and can be clicked."""
        found = f"({FIND})({json.dumps(selector)}, {json.dumps(text)})"
        return bool(self.evaluate(f"(e => !!e && !e.disabled && e.ariaDisabled !== 'true')({found})"))

    def click(self, selector: str, text: str = "") -> None:
        """Wait until an element can be clicked and stands still, and click in its middle."""
        what = f"{selector} {text!r} that can be clicked"
        self.until(lambda: self.enabled(selector, text), what)
        found = f"({FIND})({json.dumps(selector)}, {json.dumps(text)})"
        middle = (
            "(e => {e.scrollIntoView({block: 'center'}); const b = e.getBoundingClientRect(); "
            f"return [b.x + b.width / 2, b.y + b.height / 2]}})({found})"
        )
        places = [self.evaluate(middle)]

        def still() -> bool:
            places.append(self.evaluate(middle))
            return places[-1] is not None and places[-1] == places[-2]

        self.until(still, f"{what} and stands still")
        x, y = places[-1]
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def write(self, selector: str, text: str) -> None:
        """Click into a field, and type."""
        self.click(selector)
        self.call("Input.insertText", text=text)

    def dark(self, wanted: bool) -> None:
        """Ask pages for their dark or their light colours, as the system's setting does."""
        features = [{"name": "prefers-color-scheme", "value": "dark" if wanted else "light"}]
        self.call("Emulation.setEmulatedMedia", features=features)

    def width(self, pixels: int, *, mobile: bool = False) -> None:
        """Give the page a width, as a phone's or a window's."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=pixels, height=900, deviceScaleFactor=1, mobile=mobile
        )

    def screenshot(self, path: Path, *, whole: bool = False, quality: int = 75) -> None:
        """Write a screenshot in the format of the file's name: the visible part, or the whole page.

        :param quality: of a WebP, 0 to 100.
        """
        options: dict[str, Any] = {}
        if path.suffix == ".webp":
            options |= {"format": "webp", "quality": quality}
        if whole:
            height = self.evaluate("document.documentElement.scrollHeight")
            width = self.evaluate("document.documentElement.clientWidth")
            clip = {"x": 0, "y": 0, "width": width, "height": min(height, 16_000), "scale": 1}
            options |= {"captureBeyondViewport": True, "clip": clip}
        answer = self.call("Page.captureScreenshot", **options)
        path.write_bytes(base64.b64decode(answer["data"]))


def _errors_of(event: dict[str, Any]) -> list[str]:
    """Return the error that an event of the protocol tells of; none for most."""
    parameters = event.get("params", {})
    match event.get("method"):
        case "Log.entryAdded" if parameters["entry"]["level"] == "error":
            return [f"{parameters['entry']['text']} {parameters['entry'].get('url', '')}".strip()]
        case "Runtime.exceptionThrown":
            return [str(parameters["exceptionDetails"].get("text"))]
        case "Runtime.consoleAPICalled" if parameters["type"] == "error":
            return [" ".join(str(each.get("value")) for each in parameters["args"])]
    return []


def log_in(browser: Browser, url: str, user: str, password: str) -> None:
    """Fill the form that Airflow shows to a user who is not logged in."""
    browser.open(url)
    browser.write("input[name=username]", user)
    browser.write("input[name=password]", password)
    browser.click("button[type=submit]")
    browser.until(lambda: browser.there("button", "Browse"), "page for a user who is logged in")


@contextmanager
def open_browser(folder: Path) -> Generator[Browser]:
    """Start Chromium with an empty profile in ``folder``."""
    assert CHROMIUM
    command = [CHROMIUM, *OPTIONS, f"--user-data-dir={folder}", "about:blank"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # ruff: ignore[subprocess-without-shell-equals-true]
    try:
        port = _port(folder / "DevToolsActivePort", process)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=PATIENCE_SECONDS) as answer:
            page = next(target for target in json.load(answer) if target["type"] == "page")
        # A page may have its own large answers: screenshots.
        with connect(page["webSocketDebuggerUrl"], max_size=None, proxy=None) as socket:
            yield Browser(socket)
    finally:
        process.terminate()
        process.wait()


def _port(file: Path, process: subprocess.Popen[bytes]) -> int:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if file.exists() and (lines := file.read_text().splitlines()):
            return int(lines[0])
        time.sleep(0.1)
    raise AssertionError(f"Chromium did not start; its exit status is {process.poll()}.")
