"""Kernels that lack something, played by the running one; without pytest, as counting.py."""

from __future__ import annotations

import contextlib
import ctypes as ct
import errno
from collections.abc import Iterator
from dataclasses import replace
from unittest.mock import patch

from ebpf import bpf_maps, libbpf
from ebpf.counters import CounterSource
from ebpf.program import ProgramOptions
from ebpf.source import open_source

_BY_COPY = " by copy"


def open_named(name: str, options: ProgramOptions) -> CounterSource:
    """A source of "core", "bcc" or "core by copy", which is core on a kernel without types of its own."""
    by_copy = name.endswith(_BY_COPY)
    return open_source(name.removesuffix(_BY_COPY), replace(options, by_copy=by_copy))


@contextlib.contextmanager
def without_ring_buffers() -> Iterator[None]:
    """What is opened meanwhile finds none."""
    with patch.object(bpf_maps, "has_ring_buffers", lambda: False):
        yield


@contextlib.contextmanager
def without_batch_lookups() -> Iterator[None]:
    """What is opened meanwhile, and reads a map, is refused to read it in one go."""
    with patch.object(libbpf.library(), "bpf_map_lookup_batch", _refuse):
        yield


def _refuse(*_: object) -> int:
    ct.set_errno(errno.EINVAL)  # as bpf() does with a command that it does not know
    return -1
