"""How long our kernel program takes from the object's bytes to attached, and where the time goes."""

from __future__ import annotations

import ctypes as ct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any
from unittest.mock import patch

from ebpf import core_loader, libbpf
from ebpf.program import HOOKS, ProgramOptions
from tests.bench.containers import followed
from tests.bench.rows import Row, at_most, note
from tests.live.test_events import STAND_INS

REPEATS = 9
PARTS = {"open": "__init__", "verify": "load", "attach": "attach", "detach": "close"}


def bench_load_time() -> list[Row]:
    """With our relay of libbpf's messages and without, one after the other."""
    options = ProgramOptions(followed(), events=STAND_INS)
    relayed: list[float] = []
    unheard: list[float] = []
    parts: dict[str, list[float]] = {name: [] for name in PARTS}
    core_loader.load(options).close()  # the first also reads the files and the kernel's types from disk
    for _ in range(REPEATS):
        relayed.append(_load(options, parts))
        with _without_messages():
            unheard.append(_load(options))
    seconds, silent = median(relayed), median(unheard)
    spread = f"median {seconds:.1f}, {min(relayed):.1f} to {max(relayed):.1f} ms"
    where = ", ".join(f"{name} {median(times):.1f}" for name, times in parts.items() if name != "detach")
    return [
        at_most("program load to attached, CO-RE", f"{spread}; {where}", seconds, 60.0, "ms"),
        note("… with libbpf's messages switched off", f"median {silent:.1f} ms", silent, "ms"),
        note("… closing it", f"{len(HOOKS)} links", median(parts["detach"]), "ms"),
    ]


def _load(options: ProgramOptions, parts: dict[str, list[float]] | None = None) -> float:
    """Milliseconds; parts: takes those of each part too."""
    spent = dict.fromkeys(PARTS, 0.0)
    with _timing(spent):
        began = time.perf_counter()
        loaded = core_loader.load(options)
        milliseconds = (time.perf_counter() - began) * 1e3
        loaded.close()
    for name, kept in (parts or {}).items():
        kept.append(spent[name])
    return milliseconds


@contextmanager
def _timing(spent: dict[str, float]) -> Iterator[None]:
    originals = {name: getattr(libbpf.Object, method) for name, method in PARTS.items()}
    timed = {PARTS[name]: _timed(original, name, spent) for name, original in originals.items()}
    with patch.multiple(libbpf.Object, **timed):
        yield


def _timed(original: Callable[..., Any], name: str, spent: dict[str, float]) -> Callable[..., Any]:
    def call(*arguments: Any) -> Any:
        began = time.perf_counter()
        try:
            return original(*arguments)
        finally:
            spent[name] += (time.perf_counter() - began) * 1e3

    return call


@contextmanager
def _without_messages() -> Iterator[None]:
    before = libbpf.library().libbpf_set_print(None)
    try:
        yield
    finally:
        libbpf.library().libbpf_set_print(ct.c_void_p(before))
