"""python -m deploy.release [--out FOLDER] [--lock FILE]: make a release. Exit codes: 0 made, 1 not."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from deploy.release.errors import ReleaseError
from deploy.release.release import BUILDER, Plan, make
from deploy.release.sources import ROOT


def parser() -> argparse.ArgumentParser:
    """The flags."""
    parser = argparse.ArgumentParser(prog="deploy.release", description=__doc__.split(":")[1])
    parser.add_argument("--out", type=Path, default=ROOT / "build/release", help="emptied first")
    parser.add_argument("--lock", type=Path, help="lock.json of a release, to make the same again")
    kept = Path.home() / ".cache/podjoule/release"
    parser.add_argument("--inputs", type=Path, default=kept, help="where downloads are kept")
    parser.add_argument("--mirror", default="", help="of Debian, such as a snapshot of the lock's day")
    parser.add_argument("--builder", default=BUILDER, help="a URI of who makes it, for the provenance")
    parser.add_argument("--no-packages", dest="packages", action="store_false", help="leave out deb and rpm")
    parser.add_argument("--url", default="", help="where the sources are, for the chart's links")
    parser.add_argument(
        "--repository", default="", help="where the image will be, such as HOST/NAME/podjoule"
    )
    return parser


def main() -> int:
    """Take the flags, make it."""
    told = parser().parse_args()
    lock = told.lock.resolve() if told.lock else None
    try:
        make(
            Plan(
                told.out.resolve(),
                told.inputs,
                lock,
                told.mirror,
                told.builder,
                told.packages,
                told.url,
                told.repository,
            )
        )
    except ReleaseError as error:
        sys.stderr.write(f"release: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
