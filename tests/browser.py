"""A Chromium or Chrome that is installed, and a log of all that a page asks for and complains of."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from modreg.book import explore

ROOT = Path(__file__).resolve().parent.parent
SCREENSHOTS = ROOT / "build" / "screenshots"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge")
MAC = ("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome", "/Applications/Chromium.app/Contents/MacOS/Chromium")
HOWTO = ("no Chromium or Chrome was found. Debian and Ubuntu: `apt-get install chromium`; elsewhere install Chrome, or `playwright install chromium`; "
         "or name one in the variable CHROMIUM")
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync")
FIGURES = [name for name in explore.__all__ if getattr(getattr(explore, name), "__annotations__", {}).get("return") is explore.Explorer]  # figures that are programs
TAKEN_BACK = "net::ERR_ABORTED"  # by the browser: after a change of width Chromium asks again for images that loaded late, and gives up at the next change
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}


def find(own: str) -> str:
    "Path of a browser: the variable CHROMIUM, one on the PATH, or Playwright's own; without one the test is skipped, in CI it fails"
    for path in filter(None, [os.environ.get("CHROMIUM"), *map(shutil.which, NAMES), *MAC, own]):
        if Path(path).exists():
            return path
    (pytest.fail if os.environ.get("CI") else pytest.skip)(HOWTO)


@contextlib.contextmanager
def browser() -> Iterator:
    "A headless browser"
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=find(playwright.chromium.executable_path), args=[*FLAGS])
        try:
            yield opened
        finally:
            opened.close()


class Watched:
    "A page, and all that went wrong on it"

    def __init__(self, browser, address: str, **context):
        self.address = address
        self.context = browser.new_context(viewport=DESKTOP, **context)
        self.page = self.context.new_page()
        self.wrong: list[str] = []
        self.page.on("console", lambda m: self.wrong.append(f"console: {m.text}") if m.type in ("error", "warning") else None)
        self.page.on("pageerror", lambda error: self.wrong.append(f"error: {error}"))
        self.page.on("requestfailed", lambda r: self.wrong.append(f"failed: {r.url} {r.failure}") if r.failure != TAKEN_BACK else None)
        self.page.on("response", lambda r: self.wrong.append(f"status {r.status}: {r.url}") if r.status >= 400 else None)
        self.page.on("request", self._asked)

    def _asked(self, request) -> None:
        asked = urlsplit(request.url)
        if asked.scheme in ("http", "https", "ws", "wss") and asked.netloc != urlsplit(self.address).netloc:
            self.wrong.append(f"other host: {request.url}")

    def __enter__(self) -> "Watched":
        return self

    def __exit__(self, kind, *_) -> None:
        wrong = list(self.wrong)  # what is still under way when the page is closed fails, and is nobody's fault
        self.context.close()
        if kind is None:
            assert not wrong, "\n".join(wrong)

    def open(self, path: str = "") -> None:
        "Load a page, with its formulas typeset"
        self.page.goto(self.address + path, wait_until="load")
        self.page.evaluate("() => window.MathJax?.startup?.promise")

    def screenshot(self, name: str) -> None:
        "Keep what is seen, in build/screenshots"
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{name.replace('/', '-')}.png")
