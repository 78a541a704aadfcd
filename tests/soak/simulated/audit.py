"""The books a god would keep: what must hold after every tick, whatever befell the machine."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from estimator.energy import FloatArray
from exporter.books.ledger import _COST, _GRAMS, kept_width
from exporter.books.row_table import KeptRows
from exporter.names.accounts import Account
from exporter.tick.measurement import Measurement, Tick, conservation_error

_CPU_SECONDS, _FIRST_ZONE = 0, kept_width(0)
_ZONE_WIDTH = kept_width(1) - _FIRST_ZONE
Key = tuple[str, str]


def _is_outermost(account: Account) -> bool:
    """A pod's row has its containers' in it."""
    return account.workload.kind != "container" or not account.workload.pod_uid


@dataclass
class Audit:
    """Of all ticks so far. most_unequal: the largest error of conservation, relative, by what was conserved.

    fallen: rows that went down. rows: of the books, at the most; lost_seconds: CPU time that ended with the
    kernel that counted it.
    """

    ticks: int = 0
    most_unequal: dict[str, float] = field(default_factory=dict)
    fallen: list[str] = field(default_factory=list)
    rows: int = 0
    lost_seconds: float = 0.0
    _last: KeptRows | None = None
    _index: dict[Key, int] = field(default_factory=dict)
    _gone: Counter[str] = field(default_factory=Counter)
    _sums: Counter[str] = field(default_factory=Counter)
    _unseen_seconds: float | None = None

    def forget_kernel(self) -> None:
        """The kernel counts from 0 again: what ran since the last tick, and until the next, is nobody's."""
        self.lost_seconds -= self._unseen_seconds or 0.0
        self._unseen_seconds = None

    def look(self, measurement: Measurement, tick: Tick | None, used_seconds: float) -> None:
        """After a tick. used_seconds: CPU time that was used up to the last reading of the counters."""
        self.ticks += 1
        kept = measurement.ledger.kept()
        self._follow(kept)
        self.rows = max(self.rows, len(kept.accounts))
        for share in tick.shares if tick else ():
            self._note("energy of a tick", conservation_error(share))
        self._look_at_energy(measurement)
        self._look_at_charges(measurement)
        if tick:
            self._look_at_time(measurement, used_seconds)

    def _look_at_time(self, measurement: Measurement, used_seconds: float) -> None:
        counted = math.fsum((self._sums["cpu"], self._gone["cpu"], measurement.tracker.impossible_seconds))
        if self._unseen_seconds is None:  # before the first reading, or between two kernels
            self._unseen_seconds = used_seconds - counted
            self.lost_seconds += self._unseen_seconds
        self._compare("CPU time", counted, used_seconds - self._unseen_seconds)

    def _look_at_energy(self, measurement: Measurement) -> None:
        node = measurement.ledger.node
        whole, idle = Counter[str](), Counter[str]()
        for zone in node.zones():
            whole[zone.zone] += zone.joules
            idle[zone.zone] += zone.idle_joules
        nobodys = Counter[str]()
        for (name, _), joules in node.unattributed().items():
            nobodys[name] += joules
        for name, joules in whole.items():
            parts = math.fsum((self._sums[name], self._gone[name], idle[name], nobodys[name]))
            self._compare(f"energy since the start, {name}", parts, joules)

    def _look_at_charges(self, measurement: Measurement) -> None:
        charges = measurement.ledger.node.charges
        nobodys = sum(charges.unattributed.values(), np.zeros(2))
        for column, name in enumerate(("grams", "cost")):
            parts = (self._sums[name], self._gone[name], float(charges.idle[column]), float(nobodys[column]))
            self._compare(name, math.fsum(parts), float(charges.total[column]))

    def _compare(self, what: str, parts: float, whole: float) -> None:
        self._note(what, abs(parts - whole) / max(abs(whole), 1.0))

    def _note(self, what: str, error: float) -> None:
        self.most_unequal[what] = max(error, self.most_unequal.get(what, 0.0))

    def _follow(self, kept: KeptRows) -> None:
        """What a row had that is gone stays counted; no row that is there has less than before."""
        before, index = self._last, self._index
        if before is None or kept.accounts is not before.accounts or kept.zones != before.zones:
            self._index = {account.workload.key: row for row, account in enumerate(kept.accounts)}
        if before is not None:
            common = [(old, self._index[key]) for key, old in index.items() if key in self._index]
            old, new = np.array(common, np.intp).reshape(-1, 2).T
            self._look_for_falls(before, kept, old, new)
            self._bury(before, [row for key, row in index.items() if key not in self._index])
        self._last = kept
        outermost = np.fromiter(map(_is_outermost, kept.accounts), np.bool_, len(kept.accounts))
        self._sums = Counter(_sums(kept, outermost))

    def _look_for_falls(self, before: KeptRows, kept: KeptRows, old: FloatArray, new: FloatArray) -> None:
        width = before.values.shape[1]  # zones come at the right
        fallen = (kept.values[new, :width] < before.values[old]).any(axis=1)
        for row in old[fallen].tolist():
            self.fallen.append(f"{before.accounts[row].workload.key}: {before.values[row]}")

    def _bury(self, before: KeptRows, rows: list[int]) -> None:
        ended = [row for row in rows if _is_outermost(before.accounts[row])]
        chosen = np.zeros(len(before.accounts), np.bool_)
        chosen[ended] = True
        self._gone.update(_sums(before, chosen))


def _sums(kept: KeptRows, rows: np.ndarray) -> Mapping[str, float]:
    """Of some rows: CPU seconds, grams, cost, and active joules by zone."""
    values = kept.values[rows].sum(axis=0)
    sums = {"cpu": values[_CPU_SECONDS], "grams": values[_GRAMS], "cost": values[_COST]}
    for place, zone in enumerate(kept.zones):
        sums[zone] = values[_FIRST_ZONE + _ZONE_WIDTH * place]
    return {name: float(value) for name, value in sums.items()}
