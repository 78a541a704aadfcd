"""What goes wrong in a soak: churners, each in a thread of its own, at random from the seed."""

from __future__ import annotations

import threading
import traceback
from collections import Counter
from collections.abc import Sequence
from contextlib import contextmanager
from random import Random
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator


class Churner(Protocol):
    """One kind of trouble. pause: the seconds between two steps, at least and at most."""

    name: str
    pause: tuple[float, float]

    def step(self, rng: Random, stopping: threading.Event) -> str:
        """Do something, and say in a word what."""

    def settle(self) -> None:
        """Put all of it right again."""


class Churn:
    """The churners at work. done: how often each did what. crashed: tracebacks of churners, all our own."""

    def __init__(self, seed: int) -> None:
        self.done: Counter[str] = Counter()
        self.crashed: list[str] = []
        self._seed = seed

    @contextmanager
    def running(self, churners: Sequence[Churner]) -> Iterator[None]:
        """Let them work meanwhile; afterwards all is put right, one after the other."""
        stopping = threading.Event()
        threads = [threading.Thread(target=self._work, args=(each, stopping)) for each in churners]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stopping.set()
            for thread in threads:
                thread.join()
            for churner in churners:
                churner.settle()

    def _work(self, churner: Churner, stopping: threading.Event) -> None:
        rng = Random(f"{self._seed}/{churner.name}")
        while not stopping.wait(rng.uniform(*churner.pause)):
            try:
                self.done[f"{churner.name}: {churner.step(rng, stopping)}"] += 1
            except Exception:  # noqa: BLE001 - the others go on, and the verdict tells
                self.crashed.append(traceback.format_exc())
