"""The contest at one place in which a shadow fit takes the place of the one in force."""

from __future__ import annotations

import math
from dataclasses import dataclass

# A shadow wins when its error on the intervals since the last change is below this share of that of what is
# in force, over at least so many intervals: a tie changes nothing.
WINNING_SHARE = 0.95
HELD_BACK = 6

# How fast held-back errors, the exported ones and the mean power fade, a share an interval.
_RATE = 0.05


@dataclass(slots=True)
class Contest:
    """Both sides predict each interval before either has learned from it.

    warm_up: intervals at the start that do not count, with which the shadow has no more samples than weights.
    is_set: whether anything is in force, by a prior or a promotion; until then the mean power stands in,
    which any fit worth having must beat. error_watts, shadow_error_watts: rolling mean absolute errors; NaN
    before the first interval that counts.
    """

    warm_up: int
    is_set: bool = False
    promotions: int = 0
    error_watts: float = math.nan
    shadow_error_watts: float = math.nan
    _mean_watts: float = math.nan
    _learned: int = 0
    _intervals: int = 0
    _held_back: float = 0.0
    _shadow_held_back: float = 0.0

    def judge(self, watts: float, in_force: float, shadow: float) -> None:
        """Take in an interval's power and what both sides said of it."""
        mean = watts if math.isnan(self._mean_watts) else self._mean_watts
        error, shadow_error = abs((in_force if self.is_set else mean) - watts), abs(shadow - watts)
        self._mean_watts = mean + _RATE * (watts - mean)
        self._learned += 1
        if self._learned > self.warm_up:
            self._count(error, shadow_error)

    def _count(self, error: float, shadow_error: float) -> None:
        self._intervals += 1
        self._held_back = (1 - _RATE) * self._held_back + error
        self._shadow_held_back = (1 - _RATE) * self._shadow_held_back + shadow_error
        self.error_watts = _rolled(self.error_watts, error)
        self.shadow_error_watts = _rolled(self.shadow_error_watts, shadow_error)

    @property
    def shadow_has_won(self) -> bool:
        """Whether it is clearly better over enough intervals."""
        is_better = self._shadow_held_back < WINNING_SHARE * self._held_back
        return self._intervals >= HELD_BACK and is_better

    def promote(self) -> None:
        """The shadow is in force from now on."""
        self.promotions += 1
        self.put_in_force()

    def put_in_force(self) -> None:
        """Something is in force, with or without a contest; begin a new one."""
        self.is_set = True
        self.restart()

    def restart(self) -> None:
        """Forget the held-back errors."""
        self._intervals, self._held_back, self._shadow_held_back = 0, 0.0, 0.0


def _rolled(rolling: float, error: float) -> float:
    return error if math.isnan(rolling) else rolling + _RATE * (error - rolling)
