"""Kepler's own program under the load that podjoule has, where the variable KEPLER says there is one.

It is no part of the repository and of no other run: `go install
github.com/sustainable-computing-io/kepler/cmd/kepler@v0.11.4` makes it.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.e2e.servers import free_port
from tests.live.sandbox import stop

VARIABLE = "KEPLER"
LEVELS = ("node", "container", "pod", "vm")  # what podjoule exports unless told otherwise


def binary() -> Path | None:
    """Kepler's program, where one is given. Raises FileNotFoundError for a path that is none."""
    given = os.environ.get(VARIABLE)
    if not given:
        return None
    path = Path(given).resolve()
    if not os.access(path, os.X_OK) or not path.is_file():
        raise FileNotFoundError(f"{VARIABLE}={given} is no program; see python -m tests.bench --help")
    return path


def flags(port: int, sysfs: Path) -> list[str]:
    """Source: config/config.go of Kepler 0.11; what is not said is its default, 5 s a tick."""
    levels = [f"--metrics={level}" for level in LEVELS]
    return [f"--host.sysfs={sysfs}", f"--web.listen-address=127.0.0.1:{port}", "--log.level=error", *levels]


@contextmanager
def running(program: Path, sysfs: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """The process and its port on loopback. It reads the RAPL tree of a sysfs and this machine's /proc."""
    port = free_port()
    process = subprocess.Popen(
        [program, *flags(port, sysfs)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        process_group=0,
    )
    try:
        yield process, port
    finally:
        stop(process)
