"""Which of what was counted is alive, has ended, or was never told of, and when its counts may go."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import numpy.typing as npt

from ebpf.cgroups import CgroupTree
from ebpf.program import KEY

STILL_READINGS = 12  # short-lived processes must not fill the map until they are let go


class CgroupLives:
    """Follows the keys of the kernel's counts over the readings, and lets ended cgroups' paths go.

    An exiting task may run once more after its cgroup was removed, so what has ended stays for one more
    reading, with its last counts; a path goes one reading later than its counts, so that every id in a
    snapshot still has its path.
    n_nameless: cgroups that were counted and that nobody told of.
    """

    def __init__(self, tree: CgroupTree) -> None:
        self.n_nameless = 0
        self._tree = tree
        self._nameless: set[int] = set()
        self._dying = np.zeros(0, KEY)
        self._doomed: set[bytes] = set()
        self._forgettable: set[int] = set()
        self._followed: tuple[int, bytes] | None = None

    def take_doomed(self) -> set[bytes]:
        """The keys that had ended at the last reading, whose last counts are to be taken out at this one."""
        doomed, self._doomed = self._doomed, set()
        return doomed

    def follow(self, keys: npt.NDArray[np.void], processes: Collection[int] | None = None) -> None:
        """Take over a reading. keys: KEY, shape (n,). processes: that may run, where keys are by process."""
        is_settled = processes is None and not self._forgettable and not len(self._dying)
        found = self._tree.revision, keys.tobytes()
        if is_settled and found == self._followed:
            return  # as at most readings: nobody came, ran for the first time, or went
        self._followed = found
        for cgroup_id in self._forgettable & self._tree.ended:
            self._tree.forget(cgroup_id)
        ids = set(keys["cgroup_id"].tolist())
        self._count_nameless(ids)
        self._forgettable = set(self._dying["cgroup_id"].tolist()) | (self._tree.ended - ids)
        self._dying = keys[self._has_ended(keys, self._tree.not_alive(ids), processes)]
        self._doomed = _as_bytes(self._dying)

    def _has_ended(
        self, keys: npt.NDArray[np.void], gone: set[int], processes: Collection[int] | None
    ) -> npt.NDArray[np.bool_]:
        """gone: the cgroups of the keys that are not alive; mostly none."""
        ended = np.zeros(len(keys), np.bool_)
        if gone:
            # Not by np.isin, which would import numpy.ma, a megabyte, for a few ids.
            ended |= np.fromiter(map(gone.__contains__, keys["cgroup_id"].tolist()), np.bool_, len(keys))
        return ended if processes is None else ended | ~np.isin(keys["tgid"], list(processes))

    def _count_nameless(self, ids: set[int]) -> None:
        nameless = self._tree.nameless(ids)
        self.n_nameless += len(nameless - self._nameless)
        self._nameless = nameless


class Activity:
    """Which processes may still run, where their end cannot be seen: those that ran not long ago."""

    def __init__(self) -> None:
        self._still: dict[bytes, tuple[int, int]] = {}

    def recent(self, keys: npt.NDArray[np.void], cpu_ns: npt.NDArray[np.uint64]) -> set[int]:
        """The processes whose CPU time has grown within the last readings. Both of shape (n,)."""
        before, self._still = self._still, {}
        for key, ns in zip(map(bytes, keys), cpu_ns.tolist(), strict=True):
            last_ns, readings = before.get(key, (-1, 0))
            self._still[key] = ns, readings + 1 if ns == last_ns else 0
        is_recent = np.array([each[1] < STILL_READINGS for each in self._still.values()], np.bool_)
        return set(keys["tgid"][is_recent].tolist())


def _as_bytes(keys: npt.NDArray[np.void]) -> set[bytes]:
    return {key.tobytes() for key in keys}
