"""`python -m tests.e2e.screenshots`: the pictures of the page in docs/images, from a running exporter.

What is on them is real but for the meter and the names: see page_stage.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from tests.e2e.chromium import SIZES, browser
from tests.e2e.page_stage import SHOP, stage

HEIGHT = 1150  # the rest is more of the same
IMAGES = Path(__file__).parents[2] / "docs/images"
ARGUMENTS = (
    "--monitor.interval=2s",
    "--kube.node-name=node-1",
    "--carbon.intensity=344",
    "--cost.price-per-kwh=0.31",
    "--cost.currency=EUR",
)


def main() -> None:
    """Let it run for a while, then take every picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--minutes", type=float, default=62.0, help="how long to measure before")
    parser.add_argument("--images", type=Path, default=IMAGES, help="where the pictures go")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, stage(Path(folder), SHOP, *ARGUMENTS) as podjoule:
        time.sleep(60 * arguments.minutes)
        arguments.images.mkdir(parents=True, exist_ok=True)
        for name in SIZES:
            for scheme in ("light", "dark"):
                take(podjoule.url, name, scheme, arguments.images / f"page-{name}-{scheme}.png")


def take(url: str, size: str, scheme: str, file: Path) -> None:
    """One picture of the upper part of the page, once it shows figures, with a pod opened."""
    with browser() as chromium:
        context = chromium.new_context(
            viewport={"width": SIZES[size], "height": 900},
            color_scheme=scheme,
            reduced_motion="reduce",
            device_scale_factor=1.5,
        )
        page = context.new_page()
        page.goto(url)
        page.wait_for_selector("#table tbody tr th")
        page.wait_for_timeout(2500)
        if opener := page.query_selector("button.expand"):
            opener.click()
            page.wait_for_timeout(500)
        clip = {"x": 0, "y": 0, "width": SIZES[size], "height": HEIGHT}
        page.screenshot(path=str(file), full_page=True, clip=clip)
        context.close()


if __name__ == "__main__":
    main()
