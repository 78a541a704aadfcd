"""`python -m tests.e2e.picture_report`: the pictures of the report in docs/images.

What is on them is made up, and its title says so: they show what a report looks like, not what anything used.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from exporter.reports.page import render
from tests.e2e.chromium import SIZES, browser
from tests.e2e.screenshots import IMAGES
from tests.exporter.reports.page.example import example

SCHEMES = ("light", "dark")
LAST = ".columns"  # below it stand tables


def main() -> None:
    """Take every picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--images", type=Path, default=IMAGES, help="where the pictures go")
    arguments = parser.parse_args()
    arguments.images.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "report.html"
        file.write_text(render(example()))
        for scheme in SCHEMES:
            take(file.as_uri(), scheme, arguments.images / f"report-{scheme}.png")


def take(url: str, scheme: str, picture: Path) -> None:
    """One picture, down to what explains the change."""
    with browser() as chromium:
        context = chromium.new_context(
            viewport={"width": SIZES["wide"], "height": 900}, color_scheme=scheme, device_scale_factor=1.5
        )
        page = context.new_page()
        page.goto(url)
        last = page.locator(LAST).first.bounding_box()
        assert last is not None
        clip = {"x": 0, "y": 0, "width": SIZES["wide"], "height": last["y"] + last["height"] + 16}
        page.screenshot(path=str(picture), full_page=True, clip=clip)
        context.close()


if __name__ == "__main__":
    main()
