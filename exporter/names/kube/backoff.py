"""How long to wait before trying again."""

from __future__ import annotations

from collections.abc import Callable
from random import random


class Backoff:
    """Doubles from first to longest seconds, half of it at random: a fleet must not come back at once."""

    def __init__(
        self, first_seconds: float = 1.0, longest_seconds: float = 30.0, chance: Callable[[], float] = random
    ) -> None:
        self._first, self._longest, self._chance = first_seconds, longest_seconds, chance
        self._next = first_seconds

    def reset(self) -> None:
        """It works again."""
        self._next = self._first

    def delay(self, at_least_seconds: float = 0.0) -> float:
        """Seconds to wait now. at_least_seconds: what the server asked for; never less than that."""
        full, self._next = self._next, min(2 * self._next, self._longest)
        spread = full / 2 * self._chance()
        return at_least_seconds + spread if at_least_seconds > full else full / 2 + spread
