"""The last hour in memory: who used how much energy when, in slots of some seconds, within fixed bounds."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from estimator.energy import FloatArray
from exporter.names.accounts import Account
from exporter.serving.api.history_rows import HistoryRows, added

SLOT_SECONDS = 10.0
N_SLOTS = 360
MAX_ROWS = 1_200

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Spent:
    """What was spent over one tick, in joules.

    accounts, joules: by workload, shape (n,). rest: what workloads spent that are not among them. series: the
    node's own, by name, such as "idle".
    """

    accounts: Sequence[Account]
    joules: FloatArray
    rest: float = 0.0
    series: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Window:
    """A part of the history: m points, the oldest first.

    ends: shape (m,), seconds of the clock at which each point ends. covered_seconds: shape (m,), for how long
    within each point energy was known; joules / covered_seconds is a point's power. accounts: the top ones,
    the one with the most energy first; joules: theirs, shape (n, m). others: what all the rest spent, of
    which n_others are still told apart. series: the node's own by name, shape (m,) each.
    """

    ends: FloatArray
    covered_seconds: FloatArray
    accounts: tuple[Account, ...]
    joules: FloatArray
    others: FloatArray
    n_others: int
    series: Mapping[str, FloatArray]


class History:
    """Joules by slot, workload and series. `add` belongs to one thread, `window` may be asked from any.

    Energy of a tick is spread evenly over the slots that the tick spans, so none is lost or counted twice,
    however long ticks are. At most max_rows workloads are told apart; where there are more, those with the
    least energy are added up in `others`. No churn makes it grow.
    """

    def __init__(
        self, n_slots: int = N_SLOTS, slot_seconds: float = SLOT_SECONDS, max_rows: int = MAX_ROWS
    ) -> None:
        self.slot_seconds = slot_seconds
        self.n_slots = n_slots
        self._rows = HistoryRows(n_slots, max_rows)
        self._series: dict[str, FloatArray] = {}
        self._covered: FloatArray = np.zeros(n_slots)
        self._covered_until = -math.inf
        self._slot = -1
        self._lock = threading.Lock()

    def add(self, end_seconds: float, interval_seconds: float, spent: Spent) -> None:
        """Book a tick that ended at end_seconds of a monotonic clock ≥ 0 and spans interval_seconds > 0.

        What lies further back than the window is left out, with the energy that falls to it.
        """
        if not 0 < interval_seconds < math.inf:
            raise ValueError(f"a tick of the history spans more than 0 seconds, found {interval_seconds}")
        with self._lock:
            # What ends on a slot's border is the slot's before it: no empty one is opened.
            self._turn_to(math.ceil(end_seconds / self.slot_seconds) - 1)
            slots, seconds = self._overlaps(end_seconds - interval_seconds, end_seconds)
            places, parts = slots % self.n_slots, seconds / interval_seconds
            self._rows.add(spent.accounts, spent.joules, spent.rest, places, parts)
            for name, joules in spent.series.items():
                self._series.setdefault(name, np.zeros(self.n_slots))[places] += joules * parts
            self._cover(end_seconds - interval_seconds, end_seconds)

    def window(self, since_seconds: float = -math.inf, step_slots: int = 1, top: int = 10) -> Window:
        """The points that end after since_seconds, step_slots slots each, from the first that is known."""
        with self._lock:
            slots = self._known_slots(since_seconds, step_slots)
            places = slots % self.n_slots
            starts = np.flatnonzero(np.diff(slots // step_slots, prepend=-1))
            accounts, joules, others, n_others = self._rows.top(top, places, starts)
            return Window(
                ends=self._ends(slots[starts], step_slots),
                covered_seconds=added(self._covered[places], starts),
                accounts=accounts,
                joules=joules,
                others=others,
                n_others=n_others,
                series={name: added(values[places], starts) for name, values in self._series.items()},
            )

    @property
    def n_bytes(self) -> int:
        """What the arrays take."""
        arrays = [self._covered, *self._series.values()]
        return self._rows.n_bytes + sum(array.nbytes for array in arrays)

    def _turn_to(self, slot: int) -> None:
        """Make this the newest slot; those that come anew are empty."""
        if slot <= self._slot:
            return
        new = np.arange(max(self._slot + 1, slot + 1 - self.n_slots), slot + 1) % self.n_slots
        self._rows.clear(new)
        for values in (self._covered, *self._series.values()):
            values[new] = 0.0
        self._slot = slot

    def _overlaps(self, start: float, end: float) -> tuple[IntArray, FloatArray]:
        """The slots of the window that an interval touches, and for how many seconds each."""
        oldest = max(0, self._slot + 1 - self.n_slots)
        first = max(oldest, math.floor(start / self.slot_seconds))
        slots = np.arange(first, min(self._slot, math.floor(end / self.slot_seconds)) + 1)
        begins = slots * self.slot_seconds
        seconds = np.minimum(end, begins + self.slot_seconds) - np.maximum(start, begins)
        return slots, np.maximum(0.0, seconds)

    def _cover(self, start: float, end: float) -> None:
        """An interval that reaches back behind the last one covers nothing twice."""
        if end > self._covered_until:
            slots, seconds = self._overlaps(max(start, self._covered_until), end)
            self._covered[slots % self.n_slots] += seconds
            self._covered_until = end

    def _known_slots(self, since_seconds: float, step_slots: int) -> IntArray:
        slots = np.arange(max(0, self._slot + 1 - self.n_slots), self._slot + 1)
        slots = slots[self._ends(slots, step_slots) > since_seconds]
        covered = np.flatnonzero(self._covered[slots % self.n_slots] > 0)
        return slots[covered[0] :] if len(covered) else slots[:0]

    def _ends(self, slots: IntArray, step_slots: int) -> FloatArray:
        """When the points end that these slots lie in."""
        return ((slots // step_slots + 1) * step_slots * self.slot_seconds).astype(np.float64)
