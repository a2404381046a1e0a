"""Chromium without a window, driven by Playwright, as a person who looks at the page of Tandem."""

import shutil
from collections.abc import Generator
from contextlib import contextmanager
from importlib import resources
from typing import Literal

from playwright.sync_api import Browser, Page, expect, sync_playwright

CHROMIUM = shutil.which("chromium-headless-shell") or shutil.which("chromium")

_ARGUMENTS = ["--no-sandbox", "--disable-background-networking", "--disable-quic", "--no-first-run"]

expect.set_options(timeout=60_000)


@contextmanager
def browser() -> Generator[Browser]:
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=CHROMIUM, args=_ARGUMENTS, timeout=120_000)
        yield made
        made.close()


def opened(
    made: Browser, url: str, *, width: int = 1200, scheme: Literal["light", "dark"] = "light", mistakes: list[str]
) -> Page:
    """A new window of somebody who has never been here; errors of the page's scripts go to `mistakes`."""
    context = made.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    context.set_default_timeout(60_000)
    page = context.new_page()
    page.on("pageerror", lambda error: mistakes.append(str(error)))
    page.goto(url)
    return page


def accessibility_violations(page: Page) -> list[str]:
    """What axe-core finds: the rule, and the elements that break it."""
    page.evaluate(resources.files("axe_playwright_python").joinpath("axe.min.js").read_text())
    script = "axe.run().then((found) => found.violations.map((one) => one.id + ' ' + one.nodes.map((n) => n.html)))"
    found: list[str] = page.evaluate(script)
    return found
