"""What several tests on the real kernel start from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ebpf.pins import remove_pins
from tests.live.sandbox import mounted_bpffs


@pytest.fixture
def bpffs(tmp_path: Path) -> Iterator[Path]:
    """A bpffs of this test's own."""
    with mounted_bpffs(tmp_path / "bpf") as mount:
        yield mount


@pytest.fixture
def pins(bpffs: Path) -> Iterator[Path]:
    """A directory on it, for us to pin in."""
    yield bpffs / "podjoule"
    remove_pins(bpffs / "podjoule")
