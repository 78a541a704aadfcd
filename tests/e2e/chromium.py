"""Debian's Chromium under Playwright, which reaches nothing but what it is told to open."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

SIZES = {"wide": 1280, "narrow": 390}
_ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def find_chromium() -> str:
    """Its path. Raises FileNotFoundError that says how to get it."""
    found = shutil.which("chromium", path=f"{os.environ.get('PATH', '')}:/usr/bin")
    if found is None:
        raise FileNotFoundError("no chromium: apt-get install chromium")
    return found


@contextmanager
def browser(executable: str) -> Iterator[Browser]:
    """A browser that ends with the block."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=executable, args=list(_ARGUMENTS))
        try:
            yield chromium
        finally:
            chromium.close()
