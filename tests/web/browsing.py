"""The Chromium of this machine, and the page in it as a person finds it."""

import shutil
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, Playwright, expect

from miniscope_core.models import TaskKey

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WAIT_MS = 20_000


def find_chromium() -> str | None:
    """Return the path of Chromium: from PATH, or where Debian puts it; None where there is none."""
    found = shutil.which("chromium") or "/usr/bin/chromium"
    return found if Path(found).is_file() else None


def launch(playwright: Playwright) -> Browser:
    """Start the machine's Chromium; none is downloaded."""
    expect.set_options(timeout=WAIT_MS)
    return playwright.chromium.launch(executable_path=find_chromium(), args=ARGUMENTS)


class Curator:
    """A person before the page: what they do, and what went wrong that they cannot see."""

    def __init__(self, browser: Browser, width: int = 1440, height: int = 900) -> None:
        self.context = browser.new_context(viewport={"width": width, "height": height}, reduced_motion="reduce")
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(WAIT_MS)
        self.wrong: list[str] = []
        self.expected: list[str] = []
        """Parts of complaints that a test provokes."""
        self.page.on("console", self._note)
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))

    def _note(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.wrong.append(message.text)

    def visit(self, address: str) -> None:
        """Open an address and wait until the list, or the processing, is there."""
        self.page.goto(address)
        if address.partition("#/")[2]:
            self.ready()
        else:
            self.page.locator("#content[data-ready=list]").wait_for()

    def ready(self) -> None:
        """Wait until a processing is there: the list that a link is followed from stays for a moment."""
        self.page.locator("#content[data-ready]:not([data-ready=list])").wait_for()

    def open_task(self, address: str, task: TaskKey) -> None:
        """Open a processing."""
        self.visit(f"{address.partition('#')[0]}#/{task}")

    def row(self, unit: int) -> Locator:
        """Return a unit's row in the table; it is in the page when it is in sight."""
        return self.page.locator(f"#unit-{unit}")

    def select(self, unit: int, **how: Any) -> None:
        """Click a unit's row."""
        self.row(unit).click(**how)

    def press(self, *keys: str) -> None:
        """Press keys, one after the other."""
        for key in keys:
            self.page.keyboard.press(key)

    def saved(self) -> None:
        """Wait until everything is saved."""
        expect(self.page.locator("#saved")).to_have_text("✓ saved")

    def button(self, name: str, exact: bool = True) -> Locator:
        """Return a button by its name."""
        return self.page.get_by_role("button", name=name, exact=exact)

    def focused(self) -> str:
        """Return what has the focus: its id, its label or its text."""
        script = """() => { const e = document.activeElement;
            return e.id || e.getAttribute('aria-label') || e.textContent; }"""
        return str(self.page.evaluate(script))

    def tab_to(self, name: str, most: int = 60) -> None:
        """Go on with the tabulator until something has the focus."""
        for _ in range(most):
            self.press("Tab")
            if self.focused() == name:
                return
        raise AssertionError(f"{name} is not reached with the keyboard")

    def place_of(self, unit_center_px: tuple[float, float], size_px: int) -> dict[str, float]:
        """Return where a point of the field is on its canvas, as long as all of it is shown."""
        box = self.page.locator("#field").bounding_box()
        assert box is not None
        scale = min(box["width"], box["height"]) / size_px
        y, x = unit_center_px
        return {
            "x": (box["width"] - size_px * scale) / 2 + (x + 0.5) * scale,
            "y": (box["height"] - size_px * scale) / 2 + (y + 0.5) * scale,
        }
