"""The ledger that outlives the process: read at the start, written every tick before the page is shown."""

from __future__ import annotations

import logging
import os
import struct
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ebpf.counters import NOTHING_KEPT, Kept
from ebpf.state_log import StateLog
from estimator.model.whole_file import set_aside
from exporter.books.ledger import without_cost
from exporter.books.node_totals import KeptTotals, NodeCharges
from exporter.books.row_table import KeptRows
from exporter.errors import StateInvalid
from exporter.metrics.tariff_families import COSTS
from exporter.restarts.carried_counters import KERNELS_OWN, Carried, Key
from exporter.restarts.state_codec import BEFORE_PODJOULE, Encoder, Saved, decode
from exporter.restarts.state_file import read_state, write_state
from exporter.tick.measurement import Measurement

log = logging.getLogger("exporter.continuity")

FILE = "ledger.state"


@dataclass(frozen=True, slots=True)
class Clocks:
    """Wall-clock seconds and CLOCK_MONOTONIC nanoseconds."""

    wall: Callable[[], float] = time.time
    monotonic_ns: Callable[[], int] = time.monotonic_ns


class Continuity:
    """Goes on from what the process before this one wrote, and writes for the one after it; a Keeper.

    Counters always go on from where they were. What was used while nobody was there is counted where the
    kernel counted on: the same boot, and a source with the identity of the one before. Otherwise it is a gap.
    """

    def __init__(self, path: Path, node_name: str, boot: str, lock: int, clocks: Clocks = Clocks()) -> None:
        self._carried = Carried()
        self.downtime_seconds: Mapping[str, float] = {"true": 0.0, "false": 0.0}
        self._path, self._node, self._boot, self._clocks = path, node_name, boot, clocks
        self._lock = lock
        self._encoder = Encoder()
        self._kept = StateLog(
            log, f"counters are not kept for the next start: {path}", "counters are kept again"
        )
        self._currency = ""
        self._saved = self._read()

    @property
    def source(self) -> Kept:
        """What the counter source of the process before this one left in this boot."""
        return self._saved.source if self._saved and self._is_this_boot(self._saved) else NOTHING_KEPT

    def restore(self, measurement: Measurement) -> None:
        """Let a measurement that has not begun go on from what was read."""
        saved = self._saved
        self._saved = None  # it is as large as the ledger
        if saved is None:
            return
        why_not = self._resume(saved, measurement)
        seconds = self._downtime_seconds(saved)
        if not why_not:  # what came meanwhile was counted from the last reading on
            measurement.count_from(self._clocks.wall() - seconds)
        saved = self._in_currency(saved, measurement)
        self._restore_books(saved, measurement)
        self._restore_starts(saved, measurement)
        self._carried.restore(saved.carried, () if why_not else KERNELS_OWN)
        self.downtime_seconds = {"true": 0.0 if why_not else seconds, "false": seconds if why_not else 0.0}
        if why_not:
            log.warning("%.1f s without podjoule are a gap, counters go on after it: %s", seconds, why_not)
        else:
            log.info("the kernel counted on for %.1f s without podjoule: nothing is lost", seconds)

    def keep(self, measurement: Measurement) -> None:
        """Write everything down; a failure is counted, logged once, and costs no more than the file."""
        try:
            with measurement.components.timed("state"):
                write_state(self._path, self._encoder.encode(self._save(measurement)))
            self._kept.enter("")
        except (OSError, ValueError, struct.error) as error:
            self._kept.enter("failed", str(error))

    def carry(self, families: Iterable[Any]) -> list[Any]:
        """See Keeper."""
        return self._carried.carry(families)

    def close(self) -> None:
        """Let the next process in."""
        os.close(self._lock)

    def _read(self) -> Saved | None:
        try:
            state = read_state(self._path)
            saved = decode(self._path, state) if state else None
            if saved and saved.node_name != self._node:
                raise StateInvalid(f"{self._path} is of node {saved.node_name}, this is {self._node}")
        except StateInvalid as error:
            log.error("%s; %s, counters begin at 0", error, self._set_aside())
            return None
        return saved

    def _set_aside(self) -> str:
        try:
            return f"it is kept as {set_aside(self._path)}"
        except OSError as error:
            return f"it cannot be set aside ({error.strerror})"

    def _is_this_boot(self, saved: Saved) -> bool:
        return (
            bool(self._boot)
            and saved.boot_id == self._boot
            and saved.monotonic_ns <= self._clocks.monotonic_ns()
        )

    def _resume(self, saved: Saved, measurement: Measurement) -> str:
        """Go on from the last counters and readings; why not, where that cannot be."""
        identity = measurement.source.kept().identity
        if not self._is_this_boot(saved):
            return "the machine has been rebooted"
        if not identity or saved.totals is None:
            return "the counts ended with the process before this one (see --ebpf.pin)"
        if identity != saved.source.identity:
            return "the kernel's counts are not those that were read last"
        try:
            measurement.tracker.resume(saved.totals)
        except ValueError as error:
            return str(error)
        if measurement.power.meter is not None:
            measurement.power.meter.resume(saved.readings, self._downtime_seconds(saved))
        return ""

    def _restore_books(self, saved: Saved, measurement: Measurement) -> None:
        away_seconds = self._downtime_seconds(saved)
        measurement.ledger.restore(_aged(saved.rows, away_seconds))
        measurement.ledger.ensure(measurement.source.directory)
        measurement.ledger.node.restore(saved.node)
        if measurement.processes is not None and saved.processes is not None:
            rows = _aged(saved.processes.rows, away_seconds)
            measurement.processes.restore(replace(saved.processes, rows=rows))

    def _restore_starts(self, saved: Saved, measurement: Measurement) -> None:
        began = saved.start_seconds
        if began is None:
            began = BEFORE_PODJOULE
            log.info("%s is of a podjoule that did not keep since when it counted: 2023 is said", self._path)
        measurement.start_seconds = min(measurement.start_seconds, began)
        measurement.starts.update(saved.starts)

    def _in_currency(self, saved: Saved, measurement: Measurement) -> Saved:
        """Without the cost, where it was in another currency than it is from now on."""
        now = _currency(measurement)
        self._currency = now or saved.currency
        if not now or saved.currency in ("", now):
            return saved
        processes = saved.processes
        if processes is not None:
            processes = replace(processes, rows=without_cost(processes.rows))
        node = _node_without_cost(saved.node)
        starts = _with_cost_since(saved.starts, now, measurement.since_seconds)
        return replace(saved, rows=without_cost(saved.rows), processes=processes, node=node, starts=starts)

    def _downtime_seconds(self, saved: Saved) -> float:
        """By the kernel's clock, or by the wall clock where that began anew; never less than since the boot.

        A board without a clock of its own saves in 1970 and comes back in the present: then no more is known.
        """
        up_seconds = self._clocks.monotonic_ns() / 1e9
        if self._is_this_boot(saved):
            return up_seconds - saved.monotonic_ns / 1e9
        if saved.wall_seconds < BEFORE_PODJOULE:
            log.warning("the clock was not set when counters were last kept: since when is not known")
            return up_seconds
        return max(up_seconds, self._clocks.wall() - saved.wall_seconds)

    def _save(self, measurement: Measurement) -> Saved:
        meter, processes = measurement.power.meter, measurement.processes
        return Saved(
            node_name=self._node,
            boot_id=self._boot,
            wall_seconds=self._clocks.wall(),
            monotonic_ns=self._clocks.monotonic_ns(),
            source=measurement.source.kept(),
            totals=measurement.tracker.last,
            readings=meter.last if meter else {},
            rows=measurement.ledger.kept(),
            processes=processes.kept() if processes else None,
            node=measurement.ledger.node.kept(),
            carried=self._carried.kept(),
            currency=_currency(measurement) or self._currency,
            start_seconds=measurement.start_seconds,
            starts=measurement.starts,
        )


def _aged(rows: KeptRows, seconds: float) -> KeptRows:
    """The same rows after some time."""
    ended = rows.ended_seconds
    return replace(rows, ended_seconds=np.where(ended >= 0, ended + seconds, ended))


def _node_without_cost(node: KeptTotals) -> KeptTotals:
    grams = np.array([1.0, 0.0])
    charges = node.charges
    unattributed = {why: charged * grams for why, charged in charges.unattributed.items()}
    return replace(node, charges=NodeCharges(charges.total * grams, charges.idle * grams, unattributed))


def _with_cost_since(starts: Mapping[Key, float], currency: str, unix_seconds: float) -> dict[Key, float]:
    """The same but for the cost, which is in this currency from then on."""
    kept = {key: at for key, at in starts.items() if key[0] not in COSTS}
    anew = {(name, (*labels[:-1], currency)): unix_seconds for name, labels in starts if name in COSTS}
    return kept | anew


def _currency(measurement: Measurement) -> str:
    price = measurement.tariffs.price
    return price.currency if price else ""
