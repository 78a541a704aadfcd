"""A day of the exporter in simulated time: tick by tick, scrape by scrape, and what is to be said of it."""

from __future__ import annotations

import logging
import os
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from exporter.tick.heap import keep_heap_small
from tests.exporter.tick.board import PERIOD_SECONDS
from tests.soak.pages import size_of
from tests.soak.simulated.audit import Audit
from tests.soak.simulated.exporter import Exporter
from tests.soak.simulated.machine import Machine
from tests.soak.simulated.scraper import Scraper
from tests.soak.simulated.troubles import Troubles

TICK_SECONDS, TICKS_A_SCRAPE, TICKS_A_DEAF = 5.0, 3, 60
RESTARTING = 0.5  # of the time; then one process grows old
HOUR = 3_600.0
# Of a row: joules and watts in three zones, CPU time, three events, grams, money; or what says who it is.
SERIES_OF_ROW, SERIES_OF_NODE = 13, 400
# After its end: as long as it is to be shown, and before that as long as it may wait for its names; where the
# API server is silent, that is longer.
NAMING_SECONDS = 30.0
KEPT_SECONDS, SILENT_SECONDS = 300.0 + NAMING_SECONDS + 30.0, 300.0 + 600.0 + 60.0
_PARTICULARS = re.compile(r"\S*/\S*|[0-9]\S*")
_STEP_SECONDS = 30.0  # of the time without an exporter


@dataclass(frozen=True, slots=True)
class _Size:
    """At a moment of the day."""

    hours: float
    resident_mb: float
    descriptors: int
    threads: int


class Logged(logging.Handler):
    """How often each kind of warning and error was logged, by its words without their particulars."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.found: Counter[tuple[str, str]] = Counter()

    def emit(self, record: logging.LogRecord) -> None:
        """See logging."""
        words = _PARTICULARS.sub("…", record.getMessage())
        self.found[record.levelname, words] += 1


class Day:
    """A machine, its exporters one after the other, and those who watch them.

    before_tick: what befalls the next one alone. wrong: what the scraper found, by kind. failed: parts of
    ticks that failed. booked: joules by zone in the end. most: series and kilobytes of a page. fullest: a
    page's series as a part of what there may be.
    """

    def __init__(self, folder: Path, seconds: float, seed: str) -> None:
        self.machine = Machine(folder, seed)
        self.exporter = Exporter(self.machine)
        self.before_tick: list[Callable[[], object]] = []
        self.audit = Audit()
        self.logged = Logged()
        self.starts = 1
        self.pages: Counter[str] = Counter()
        self.wrong: dict[str, list[str]] = {"refused": [], "fallen": [], "returned": [], "early": []}
        self.failed: Counter[str] = Counter()
        self.sizes: list[_Size] = []
        self.most: Counter[str] = Counter()
        self.booked: Counter[str] = Counter()
        self.fullest = self._may_be = 0.0
        self.deaf = 0
        self._seconds = seconds
        self.troubles = Troubles(self, seconds, Random(f"{seed}/troubles"))
        self._ticks = 0
        self._hours: list[float] = []

    @property
    def grows_old(self) -> bool:
        """Whether it is the last process."""
        return self.machine.clock.lived_seconds > RESTARTING * self._seconds

    @property
    def used_seconds(self) -> float:
        return self.machine.counts.used_ns / 1e9

    def run(self) -> None:
        """All of it."""
        keep_heap_small()
        logging.getLogger().addHandler(self.logged)
        with Scraper.running() as scraper:
            while self.machine.clock.lived_seconds < self._seconds:
                self.troubles.happen(TICK_SECONDS)
                self.live_on(TICK_SECONDS)
                self._tick()
                if self._ticks % TICKS_A_SCRAPE == 0:
                    self._scrape(scraper)
            self._take(scraper.found())
        logging.getLogger().removeHandler(self.logged)
        self.sizes.append(self._resident())
        # Before the board's first answer, and since its last.
        self.machine.meters.excuse("platform", 4 * PERIOD_SECONDS)
        for zone in self.exporter.measurement.ledger.node.zones():
            self.booked[zone.zone] += zone.joules
        self._end("end")

    def live_on(self, seconds: float) -> None:
        """As the ticker lets time pass: the meters are read in between where they cannot wait."""
        while seconds > 0:
            step = min(seconds, self.exporter.longest_seconds)
            self.machine.live(step)
            seconds -= step
            if seconds > 0:
                self.exporter.poll()

    def restart(self, by: str, away_seconds: float) -> None:
        """by: "end" or "kill"; the machine lives on meanwhile."""
        self._end(by)
        left_seconds = away_seconds
        while left_seconds > 0:
            self.machine.live(min(left_seconds, _STEP_SECONDS))
            left_seconds -= _STEP_SECONDS
        self._start(away_seconds)

    def reboot(self) -> None:
        """The machine goes down with all that runs on it."""
        self.audit.forget_kernel()
        self._end("kill")
        self.machine.reboot()
        self._start()

    def _end(self, by: str) -> None:
        self._count_failures()
        getattr(self.exporter, by)()

    def _start(self, away_seconds: float = 0.0) -> None:
        """To a new process has just ended what did so unseen, and what waits for its names does so anew."""
        now, ended = self.machine.clock.awake_seconds, self.machine.population.ended
        kept_seconds = self._kept_seconds()
        anew_seconds = kept_seconds if kept_seconds == SILENT_SECONDS else away_seconds + NAMING_SECONDS
        anew = [(now if now - at <= anew_seconds else at, n) for at, n in ended]
        ended.clear()
        ended.extend(sorted(anew))
        self.exporter = Exporter(self.machine)
        self.starts += 1

    def _count_failures(self) -> None:
        for name, part in self.exporter.measurement.components.by_name.items():
            self.failed[name] += part.errors

    def _tick(self) -> None:
        machine, exporter = self.machine, self.exporter
        self._ticks += 1
        if not machine.server.is_out or self._ticks % 6 == 0:
            exporter.look_at_pods()
        for do in self.before_tick:
            do()
        self.before_tick.clear()
        tick = exporter.tick()
        self.audit.look(exporter.measurement, tick, self.used_seconds)
        if self._ticks % 12 == 0:
            self.sizes.append(self._resident())
            if int(self.sizes[-1].hours) > len(self._hours):
                self._say_hour()

    def _scrape(self, scraper: Scraper) -> None:
        self._take(scraper.found())
        self._may_be = SERIES_OF_NODE + SERIES_OF_ROW * self._most_rows()
        scraper.scrape(self.exporter.port, self.machine.clock.wall(), deaf=self._ticks % TICKS_A_DEAF == 0)

    def _take(self, told: Mapping[str, Any] | None) -> None:
        if not told:
            return
        self.pages.update({"pages": 1, "series": told["series"]})
        self.deaf = told["deaf"]
        for what, found in self.wrong.items():
            found.extend(told[what])
        self.most["series"] = max(self.most["series"], told["series"])
        self.most["kilobytes"] = max(self.most["kilobytes"], told["bytes"] // 1000)
        self.fullest = max(self.fullest, told["series"] / self._may_be)

    def _most_rows(self) -> int:
        """One for each cgroup that is alive, and for each that ended and may still be shown."""
        machine = self.machine
        now, ended = machine.clock.awake_seconds, machine.population.ended
        while ended and now - ended[0][0] > SILENT_SECONDS:
            ended.popleft()
        kept_seconds = self._kept_seconds()
        kept = sum(n for at, n in ended if now - at <= kept_seconds)
        return kept + sum(len(each.cgroups) for each in machine.population.alive.values())

    def _kept_seconds(self) -> float:
        """How long after its end a row may be shown, now."""
        since_outage = self.machine.clock.awake_seconds - self.troubles.last_outage
        is_silent = self.machine.server.is_out or since_outage < SILENT_SECONDS
        return SILENT_SECONDS if is_silent else KEPT_SECONDS

    def _say_hour(self) -> None:
        """On standard error, for who waits."""
        self._hours.append(time.process_time())
        hours, size = len(self._hours), self.sizes[-1]
        words = f"{hours} h: {size.resident_mb:.1f} MB, {self._hours[-1]:.0f} s of CPU, {self.starts} starts"
        print(words, file=sys.stderr, flush=True)

    def _resident(self) -> _Size:
        size = size_of(os.getpid())
        hours = self.machine.clock.lived_seconds / HOUR
        return _Size(hours, size.resident_mb, size.descriptors, size.threads)
