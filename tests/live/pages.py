"""What a page of metrics says, and a watch that nothing on it goes down."""

from __future__ import annotations

import contextlib
import re
import threading
from http.client import HTTPException
from pathlib import Path

from tests.e2e.servers import get
from tests.live.sandbox import Cgroup

_COUNTER = re.compile(r"# TYPE (\S+) counter")


def seconds_of(page: str, group: Cgroup) -> float:
    return _of_container(page, "kepler_container_cpu_seconds_total", group)


def joules_of(page: str, group: Cgroup) -> float:
    return _of_container(page, "kepler_container_cpu_joules_total", group)


def _of_container(page: str, family: str, group: Cgroup) -> float:
    found = re.search(rf'{family}{{.*"{Path(group.path).name}".*}} (\S+)', page)
    return float(found[1]) if found else 0.0


def value_of(page: str, series: str) -> float:
    found = re.search(rf"^{series}.*}} (\S+)$", page, re.MULTILINE)
    assert found, f"no {series} on the page"
    return float(found[1])


def counters_on(page: str) -> dict[str, float]:
    """Every series of every counter but the process's own."""
    names = {name for name in _COUNTER.findall(page) if not name.startswith(("process_", "python_"))}
    rows = (line.rpartition(" ") for line in page.splitlines() if not line.startswith("#"))
    return {series: float(value) for series, _, value in rows if series.partition("{")[0] in names}


class Watch:
    """Scrapes whatever process is there, and notes every counter that goes down."""

    def __init__(self) -> None:
        self.url = "http://127.0.0.1:1"
        self.pages = 0
        self.fallen: list[str] = []
        self._last: dict[str, float] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    def look(self, page: str) -> None:
        found = counters_on(page)
        self.fallen += [
            f"{name}: {self._last[name]} -> {n}" for name, n in found.items() if n < self._last.get(name, 0)
        ]
        self._last |= found
        self.pages += bool(found)

    def _run(self) -> None:
        while not self._stopping.wait(0.1):
            with contextlib.suppress(OSError, HTTPException):  # nobody is there, or no longer
                self.look(get(f"{self.url}/metrics", timeout=2)[1])
