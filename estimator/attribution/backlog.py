"""What ran while a zone's meter was silent: its energy, when it comes, goes to all who ran since its last
reading."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from estimator.energy import FloatArray, Usage, ZoneEnergy

# Beyond this a zone's energy is shared out by the tick in which it comes: what is kept must not grow for
# ever.
_MOST_SECONDS, _MOST_ROWS = 3_600.0, 65_536

# An energy that spans clearly less than what was saved up begins after a gap: what ran before it did not draw
# it.
_SAME_SPAN = 0.8


@dataclass(frozen=True, slots=True)
class Spans:
    """A tick's usage, with rows of zeros for those who ran before it alone; by path, what ran since the last
    reading of a zone, row by row the same. A zone whose reading is of the last tick is not in it."""

    usage: Usage
    by_path: Mapping[str, Usage]


class UsageBacklog:
    """Adds up usage for each zone that gave energy before and gives none now; for one thread."""

    def __init__(self) -> None:
        self._saved: dict[str, Usage] = {}
        self._known: set[str] = set()

    def take(self, energies: Sequence[ZoneEnergy], usage: Usage) -> Spans:
        """One tick: what each of its energies is to be shared out by."""
        heard = {energy.path: energy for energy in energies}
        earlier = {path: self._saved.pop(path) for path in heard if path in self._saved}
        for path in self._known - heard.keys():
            self._save(path, usage)
        self._known |= heard.keys()
        spanned = {path: saved for path, saved in earlier.items() if _is_spanned(heard[path], saved, usage)}
        if not spanned:
            return Spans(usage, {})
        whole = combined([usage, *spanned.values()])
        return Spans(
            _laid_out(usage, whole),
            {path: _laid_out(combined([saved, usage]), whole) for path, saved in spanned.items()},
        )

    def _save(self, path: str, usage: Usage) -> None:
        saved = self._saved.get(path)
        together = usage if saved is None or not _are_alike(saved, usage) else combined([saved, usage])
        if together.interval_seconds > _MOST_SECONDS or len(together.cgroup_id) > _MOST_ROWS:
            self._known.discard(path)
            self._saved.pop(path, None)
        else:
            self._saved[path] = together


def combined(usages: Sequence[Usage]) -> Usage:
    """Several intervals as one: each key once, used and dropped added up, available what all of them have."""
    keys, rows = np.unique(np.concatenate([_keys(usage) for usage in usages]), return_inverse=True)
    used = np.zeros((len(keys), *usages[0].used.shape[1:]))
    np.add.at(used, rows, np.concatenate([usage.used for usage in usages]))
    return replace(
        usages[0],
        cgroup_id=keys["cgroup_id"].copy(),
        tgid=keys["tgid"].copy(),
        used=used,
        dropped=np.sum([usage.dropped for usage in usages], axis=0),
        available=frozenset.intersection(*(usage.available for usage in usages)),
        interval_seconds=sum(usage.interval_seconds for usage in usages),
        awake_seconds=_added([usage.awake_seconds for usage in usages]),
    )


def _added(awake_seconds: Sequence[FloatArray | None]) -> FloatArray | None:
    """None where one of them is not known."""
    known = [seconds for seconds in awake_seconds if seconds is not None]
    return np.sum(known, axis=0) if len(known) == len(awake_seconds) else None


def _laid_out(usage: Usage, whole: Usage) -> Usage:
    """The same usage in the rows of another, whose keys are sorted and hold all of its own."""
    used: FloatArray = np.zeros((len(whole.cgroup_id), *usage.used.shape[1:]))
    used[np.searchsorted(_keys(whole), _keys(usage))] = usage.used
    return replace(usage, cgroup_id=whole.cgroup_id, tgid=whole.tgid, used=used)


def _keys(usage: Usage) -> npt.NDArray[np.void]:
    keys = np.empty(len(usage.cgroup_id), [("cgroup_id", np.uint64), ("tgid", np.uint32)])
    keys["cgroup_id"], keys["tgid"] = usage.cgroup_id, usage.tgid
    return keys


def _are_alike(one: Usage, other: Usage) -> bool:
    return one.used.shape[1:] == other.used.shape[1:]


def _is_spanned(energy: ZoneEnergy, saved: Usage, usage: Usage) -> bool:
    span = saved.interval_seconds + usage.interval_seconds
    return _are_alike(saved, usage) and energy.awake_seconds >= _SAME_SPAN * span
