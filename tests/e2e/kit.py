"""Programs of the cluster kit for tests that need no cluster."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.cluster import binaries
from tests.e2e.cluster.place import Place


def kit_program(name: str) -> Path:
    """A program that the kit compiles; skips where it has not."""
    place = Place()
    if not binaries.are_current(place):
        pytest.skip(binaries.LACKING)
    return place.binaries / name
