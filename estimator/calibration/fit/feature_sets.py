"""Which of the competing features one zone is predicted with."""

from __future__ import annotations

import math
from collections.abc import Sequence

# At the start, intervals that do not count: a fit has no more samples than weights then.
_WARM_UP = 15
_RATE, _FADED = 0.02, 0.9  # so many comparisons weigh a little less by now
# A feature comes in when it takes this share off the error, over at least so many comparisons, and is sure to
# (by so many standard errors); it goes when it takes off no more than the last.
_TAKES_OFF, _LEAST_TO_ADD, _SURE, _KEEPS = 0.05, 4, 2.0, 0.03
_LEAST_TO_DROP = 6
# Being awake and idling look alike until the socket has slept: that costs more to be wrong about, and what
# costs less than this share of idling must show more.
_SLEEP_TAKES_OFF, _SLEEP_WATTS = 0.10, 0.3


class FeatureContest:
    """The competing features of a zone, and how each would do on its own beside those in force.

    In each interval one of them challenges: it comes in or goes. in_force: by feature, whether it is.
    sleeps: which one is the awake time, in force until it is found to be of no use, since a machine that does
    not sleep shows so at once and one that does may be busy for hours.
    """

    def __init__(self, n_features: int, sleeps: int | None = None) -> None:
        self.in_force = [False] * n_features
        self._is_offered = [False] * n_features
        self._sleeps = sleeps
        self._seen = 0
        self._turn = 0
        self._evidence = [[0.0] * 4 for _ in range(n_features)]

    def offer(self, measured: Sequence[bool]) -> None:
        """Features that are measured from now on; those that were once stay."""
        for feature, is_measured in enumerate(measured):
            if is_measured and not self._is_offered[feature]:
                self._is_offered[feature] = True
                self.in_force[feature] = feature == self._sleeps

    @property
    def knows_sleep(self) -> bool:
        """Whether what being awake costs is told apart."""
        return self._sleeps is not None and self.in_force[self._sleeps]

    @property
    def may_sleep(self) -> bool:
        """Whether being awake may cost something that nothing tells apart."""
        return self._sleeps is not None and self._is_offered[self._sleeps] and not self.knows_sleep

    @property
    def challenge(self) -> list[bool]:
        """in_force with the challenger in it, or out of it."""
        return [
            is_in != (feature == self._turn and self._is_offered[feature])
            for feature, is_in in enumerate(self.in_force)
        ]

    def judge(self, error: float, challenger_error: float, awake_share: float) -> None:
        """Both sides' error, one step ahead, as a share of power; awake_share: what being awake costs by what
        is in force, over idling. Then it is the next one's turn."""
        self._seen += 1
        if self._seen > _WARM_UP and self._is_offered[self._turn]:
            self._count(error, challenger_error)
            if self._has_won(awake_share):
                self.in_force = self.challenge
                self._evidence = [[0.0] * 4 for _ in self.in_force]
        offered = [turn for turn, is_offered in enumerate(self._is_offered) if is_offered]
        later = [turn for turn in offered if turn > self._turn]
        self._turn = (later or offered or [0])[0]

    def _count(self, error: float, challenger_error: float) -> None:
        gain = error - challenger_error
        fresh = (1.0, gain, gain * gain, error)
        before = self._evidence[self._turn]
        self._evidence[self._turn] = [(1 - _RATE) * old + new for old, new in zip(before, fresh, strict=True)]

    def _has_won(self, awake_share: float) -> bool:
        weight, gains, squares, errors = self._evidence[self._turn]
        gain, error = gains / weight, errors / weight
        is_sleep = self._turn == self._sleeps
        if self.in_force[self._turn]:
            keeps = _SLEEP_TAKES_OFF if is_sleep and awake_share < _SLEEP_WATTS else _KEEPS
            return weight >= _FADED * _LEAST_TO_DROP and gain > -keeps * error
        spread = math.sqrt(max(squares / weight - gain * gain, 0.0) / weight)
        takes_off = _SLEEP_TAKES_OFF if is_sleep else _TAKES_OFF
        return weight >= _FADED * _LEAST_TO_ADD and gain > max(takes_off * error, _SURE * spread)
