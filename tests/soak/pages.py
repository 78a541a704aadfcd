"""Every page that was scraped, and the process behind it: what went down, what was lost, what it takes."""

from __future__ import annotations

import contextlib
import re
import time
from collections import Counter
from collections.abc import Set
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

from tests.e2e.servers import get
from tests.live.pages import Watch, counters_on
from tests.soak.exporter import Exporter

PAUSE_SECONDS = 0.25
_PAGE_BYTES = 4096
_BY_NAME = "podjoule_cgroup_"  # the other workloads go by ids that are used once
_NOT_YET = "The first tick is not done yet."
_CONSERVATION = re.compile(r"^podjoule_conservation_error_ratio\{.*\} (\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Size:
    """A process at a moment. resident_mb: of 10^6 bytes."""

    at: float
    pid: int
    resident_mb: float
    descriptors: int
    threads: int


def size_of(pid: int) -> Size:
    """Raises OSError where there is no such process."""
    proc = Path(f"/proc/{pid}")
    resident = int((proc / "statm").read_text().split()[1]) * _PAGE_BYTES / 1e6
    descriptors, threads = (len(list((proc / name).iterdir())) for name in ("fd", "task"))
    return Size(time.monotonic(), pid, resident, descriptors, threads)


class Pages(Watch):
    """Scrapes whatever process there is.

    excused: counters that went down where the state could not be kept. most_unequal: the largest
    conservation error. sizes: of the process, at each page. refused: how often what was answered in a page's
    stead, but for the time before a first tick.
    """

    def __init__(self, exporter: Exporter) -> None:
        super().__init__()
        self._exporter = exporter
        self.excused: list[str] = []
        self.most_unequal = 0.0
        self.sizes: list[Size] = []
        self.refused: Counter[str] = Counter()
        self._unkept: set[str] = set()
        self._asked = self._killed = 0
        self._lost: Counter[str] = Counter()

    def excuse_next(self) -> None:
        """The next process goes on from a state that is older than what was shown."""
        self._unkept, self._killed = set(self._last), self._exporter.pid

    def look(self, page: str) -> None:
        found = counters_on(page)
        self._forget_ended(found.keys())
        before, fallen = dict(self._last), len(self.fallen)
        super().look(page)
        for name in found:
            self._lost[name] += max(0.0, before.get(name, 0.0) - found[name])
        for told in self.fallen[fallen:]:
            if told.rpartition(": ")[0] in self._unkept:
                self.excused.append(told)
                self.fallen.remove(told)
        if self._asked == self._killed:  # its last page, read after its end
            self._unkept |= found.keys()
        else:
            self._unkept -= found.keys()
        errors = map(float, _CONSERVATION.findall(page))
        self.most_unequal = max(self.most_unequal, *errors, 0.0)

    def total(self, family: str, *labels: str) -> float:
        """The sum of the last values of a family's series with these labels."""
        return sum(n for name, n in self.series(family).items() if all(label in name for label in labels))

    def series(self, family: str) -> dict[str, float]:
        """The last value of each series of a family."""
        return {name: n for name, n in self._last.items() if name.partition("{")[0] == family and n}

    def ever(self, family: str) -> dict[str, float]:
        """The same, with what was not kept over a restart."""
        return {name: n + self._lost[name] for name, n in self.series(family).items()}

    def _forget_ended(self, found: Set[str]) -> None:
        """What is gone from the page and goes by its name: who comes back under it is another one."""
        for name in self._last.keys() - found:
            if name.startswith(_BY_NAME):
                del self._last[name]

    def _run(self) -> None:
        while not self._stopping.wait(PAUSE_SECONDS):
            with contextlib.suppress(OSError, HTTPException):  # nobody is there, or no longer
                self._asked = self._exporter.pid
                status, page = get(f"{self._exporter.url}/metrics", timeout=5)
                if status == 200:
                    self.look(page)
                    self.sizes.append(size_of(self._exporter.pid))
                elif _NOT_YET not in page:
                    self.refused[f"{status} {page.strip()[:60]}"] += 1
