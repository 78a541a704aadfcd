"""Threads that answer what the loop has no time for, each kind of question in its own."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

_PATIENCE_SECONDS = 0.25  # a burst outruns the threads for a moment, which is no reason for a 503


class Effort(enum.Enum):
    """What an answer costs: nothing, as it is there already; a little; or a document of its own."""

    NONE = enum.auto()
    SCRAPE = enum.auto()
    DOCUMENT = enum.auto()


class Crowded(Exception):
    """There are as many questions of this kind under way as there may be."""


class Lane:
    """A few threads, and a bound on the questions that are with them."""

    def __init__(self, name: str, threads: int, most: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._places = asyncio.Semaphore(most)

    async def ask(self, work: Callable[[], T], at_once: bool = False) -> T:
        """What `work` gives, from a thread or at once from here. Raises Crowded, and what it raises."""
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS if self._places.locked() else None):
                await self._places.acquire()
        except TimeoutError:
            raise Crowded from None
        try:
            return work() if at_once else await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            self._places.release()

    def close(self, wait: bool) -> None:
        """End the threads, as soon as each is done."""
        self._pool.shutdown(wait, cancel_futures=True)
