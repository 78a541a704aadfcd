"""What a GPU draws while nobody has it."""

from __future__ import annotations

from collections.abc import Mapping

from estimator.energy import ZoneEnergy
from estimator.gpu.activity import Activity

# A counter moves in steps: what is shorter says little of power.
_LEAST_SECONDS = 0.9


class IdleFloor:
    """By path, the least power of an interval in which no process held the GPU; the user's figure before it.

    Where nobody tells of processes at all, the least power of any interval is as near as one can come.
    given: watts of each GPU, None where the user does not say.
    """

    def __init__(self, given: float | None = None, kept: Mapping[str, float] | None = None) -> None:
        self._given = given
        self._unused_watts = dict(kept or {})
        self._least_watts: dict[str, float] = {}

    def watts(self, path: str) -> float | None:
        """None while it is not known."""
        if self._given is not None:
            return self._given
        return self._unused_watts.get(path, self._least_watts.get(path))

    def method(self, path: str) -> str:
        """How it is known."""
        if self._given is not None:
            return "given"
        return "unused" if path in self._unused_watts else "least"

    def learn(self, energy: ZoneEnergy, activity: Activity) -> None:
        """Take one interval of a GPU."""
        if energy.interval_seconds < _LEAST_SECONDS or energy.suspended_seconds:
            return
        watts = energy.joules / energy.interval_seconds
        if activity.is_unused:
            self._unused_watts[energy.path] = min(watts, self._unused_watts.get(energy.path, watts))
        elif activity.seconds == activity.untold_seconds:
            self._least_watts[energy.path] = min(watts, self._least_watts.get(energy.path, watts))

    @property
    def kept(self) -> Mapping[str, float]:
        """What was learned, for the process after this one."""
        return dict(self._unused_watts)
