"""Whether groups of events get onto the PMU: one that does not counts nothing for as long as that lasts."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

NO_TIME = "all at once they got no time on the PMU"
# The kernel lets another group have its turn every 4 ms (perf_event_mux_interval_ms of a core PMU).
_LONG_NS = 1_000_000_000


class GroupWatch:
    """cpus: those whose events are a group. starved: those whose group has been off the PMU for too long.

    A group may lose its place for good where somebody pins counters that it needs (the NMI watchdog, perf's
    `:D`); alone, some of its events would still get theirs.
    """

    def __init__(self) -> None:
        self.cpus: set[int] = set()
        self.starved: set[int] = set()
        self._running_ns = self._since_ns = np.zeros(0, np.uint64)

    def look(self, leaders: npt.NDArray[np.void]) -> list[int]:
        """Those that starve by now. leaders: EVENT_READING, shape (n_cpu,), of each CPU's first event."""
        if not self.cpus:
            return []
        enabled_ns, running_ns = leaders["enabled_ns"], leaders["running_ns"]
        if len(self._since_ns) != len(leaders):
            self._running_ns, self._since_ns = running_ns.copy(), enabled_ns.copy()
        went_on = (running_ns != self._running_ns) | (enabled_ns < self._since_ns)
        self._running_ns = running_ns.copy()
        self._since_ns = np.where(went_on, enabled_ns, self._since_ns)
        late = np.flatnonzero(enabled_ns - self._since_ns >= _LONG_NS)
        found = [int(cpu) for cpu in late if int(cpu) in self.cpus]
        self.starved.update(found)
        return found
