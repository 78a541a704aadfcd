"""Scrapers in processes of their own: none waits for the server's interpreter. Imports next to nothing."""

from __future__ import annotations

import http.client
import multiprocessing
import time
from collections.abc import Mapping
from multiprocessing.synchronize import Barrier

_SPAWN = multiprocessing.get_context("spawn")
_barrier: Barrier


def scrape(
    port: int, count: int, pause_seconds: float = 0.0, headers: Mapping[str, str] | None = None
) -> list[float]:
    """The seconds of each of `count` scrapes over one kept-alive connection, request to last byte."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    seconds = []
    for _ in range(count):
        start = time.perf_counter()
        connection.request("GET", "/metrics", headers=headers or {})
        response = connection.getresponse()
        response.read()
        seconds.append(time.perf_counter() - start)
        assert response.status == 200
        time.sleep(pause_seconds)
    connection.close()
    return seconds


def scrape_together(
    scrapers: int, port: int, count: int, pause_seconds: float = 0.0, headers: Mapping[str, str] | None = None
) -> list[float]:
    """The same from several scrapers, all started first, then spread over the pause as Prometheus does."""
    barrier = _SPAWN.Barrier(scrapers)
    with _SPAWN.Pool(scrapers, _remember, (barrier,)) as pool:
        jobs = [(index / scrapers, port, count, pause_seconds, headers) for index in range(scrapers)]
        return [seconds for each in pool.starmap(_meet_and_scrape, jobs, chunksize=1) for seconds in each]


def _remember(barrier: Barrier) -> None:
    global _barrier  # noqa: PLW0603 - a pool hands a barrier over at start only
    _barrier = barrier


def _meet_and_scrape(
    turn: float, port: int, count: int, pause_seconds: float, headers: Mapping[str, str] | None
) -> list[float]:
    _barrier.wait()
    time.sleep(turn * pause_seconds)
    return scrape(port, count, pause_seconds, headers)
