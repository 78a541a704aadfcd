"""A fleet's samples as blocks of a Prometheus, two hours each."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.exporter.reports.curves import Window
from tests.exporter.reports.fleet import HOUR, LEAD, TAIL, Plan
from tests.exporter.reports.samples import Samples
from tests.programs import program

BLOCK_SECONDS = 2 * HOUR
KEEPS = ("--storage.tsdb.retention.time=20y",)
"""Flags of a Prometheus that is not to drop them for their age."""


def windows(plan: Plan) -> Iterator[Window]:
    """The blocks' spans: promtool reads a file once for every block in it, so each has its own."""
    begin = (plan.start - LEAD) // BLOCK_SECONDS * BLOCK_SECONDS
    for start in range(begin, plan.end + TAIL, BLOCK_SECONDS):
        yield start, start + BLOCK_SECONDS


def write_blocks(samples: Samples, plan: Plan, folder: Path) -> None:
    """Fill folder/data. While promtool makes a block, the text of the next one is written."""
    making: subprocess.Popen[bytes] | None = None
    for number, window in enumerate(windows(plan)):
        text = folder / f"samples-{number % 2}"
        with text.open("w", buffering=1 << 20) as file:
            file.writelines(samples.text(window))
        _end(making)
        making = subprocess.Popen(
            [program("promtool"), "tsdb", "create-blocks-from", "openmetrics", "-q", text, folder / "data"],
            env={**os.environ, "TMPDIR": _swift()},
        )
    _end(making)
    for text in folder.glob("samples-?"):
        text.unlink()


def _end(making: subprocess.Popen[bytes] | None) -> None:
    if making is not None and making.wait() != 0:
        raise RuntimeError(f"promtool made no block; it ended with {making.returncode}")


def _swift() -> str:
    """Where promtool builds: it waits for the disk ten times as long as it works."""
    memory = Path("/dev/shm")
    return str(memory) if memory.is_dir() else tempfile.gettempdir()
