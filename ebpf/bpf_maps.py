"""The kernel's maps through libbpf: single entries, whole maps, ring buffers.

Every call raises OSError with the kernel's errno.
"""

from __future__ import annotations

import ctypes as ct
import errno
import logging
import mmap
import os
import struct
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ebpf.libbpf import checked, failure, library

log = logging.getLogger("ebpf")

Entries = tuple[npt.NDArray[np.void], npt.NDArray[np.uint64]]
"""Copies of a map's keys, shape (n,), and of its values, shape (n, *value_shape)."""

_RINGBUF = 27  # enum bpf_map_type
_ENOTSUPP = 524  # the kernel's own, for a type of map that has no such operation
_MORE_ROWS = 64
_NO_BATCHES = (errno.EINVAL, errno.EOPNOTSUPP, _ENOTSUPP)

_POSITION = struct.Struct("@L")
_OnSample = ct.CFUNCTYPE(ct.c_int, ct.c_void_p, ct.c_void_p, ct.c_size_t)


def has_ring_buffers() -> bool:
    """Whether this kernel makes a ring buffer when asked to (5.8)."""
    return int(library().libbpf_probe_bpf_map_type(_RINGBUF, None)) == 1


def map_id(map_fd: int) -> int:
    """The kernel's number of a map, which no other has had since the machine was booted."""
    info = (ct.c_uint32 * 2)()  # struct bpf_map_info: type, id
    size = ct.c_uint32(ct.sizeof(info))
    result = library().bpf_obj_get_info_by_fd(map_fd, ct.byref(info), ct.byref(size))
    checked(result, "reading what a map is")
    return int(info[1])


def pin(descriptor: int, path: str) -> None:
    """Let a link stay in the kernel for as long as this path of a bpffs is there."""
    checked(library().bpf_obj_pin(descriptor, os.fsencode(path)), f"pinning {path}")


def update(map_fd: int, key: int, value: int) -> None:
    """Set one u32 -> u32 entry, such as a perf event's descriptor for a CPU."""
    result = library().bpf_map_update_elem(
        map_fd, ct.byref(ct.c_uint32(key)), ct.byref(ct.c_uint32(value)), ct.c_uint64(0)
    )
    checked(result, f"updating entry {key} of a map")


def store(map_fd: int, index: int, value: npt.NDArray[np.void]) -> None:
    """Set one array entry to the bytes of a contiguous array."""
    result = library().bpf_map_update_elem(
        map_fd, ct.byref(ct.c_uint32(index)), value.ctypes.data_as(ct.c_void_p), ct.c_uint64(0)
    )
    checked(result, f"storing entry {index} of a map")


def delete(map_fd: int, key: bytes) -> bool:
    """Delete one entry; False where there was none."""
    return int(library().bpf_map_delete_elem(map_fd, key)) == 0


def take(map_fd: int, key: bytes, into: npt.NDArray[np.uint64]) -> bool:
    """Read and delete one entry in one step (kernel 5.14, else in two); False where there was none."""
    value = ct.c_void_p(into.ctypes.data)
    if library().bpf_map_lookup_and_delete_elem(map_fd, key, value) == 0:
        return True
    if ct.get_errno() not in _NO_BATCHES:
        return False
    return int(library().bpf_map_lookup_elem(map_fd, key, value)) == 0 and delete(map_fd, key)


def lookup(map_fd: int, index: int, into: npt.NDArray[np.generic]) -> None:
    """Read one array entry (all CPUs' values of a per-CPU map) into a contiguous array."""
    result = library().bpf_map_lookup_elem(
        map_fd, ct.byref(ct.c_uint32(index)), into.ctypes.data_as(ct.c_void_p)
    )
    checked(result, f"reading entry {index} of a map")


class MapReader(Protocol):
    """Reads a whole map."""

    def read(self) -> Entries:
        """Every entry there is; one that comes meanwhile may be missing."""


class BatchReader:
    """Reads a whole map in few system calls (kernel 5.6), into arrays made for each reading.

    They are somewhat larger than the last reading was: on many CPUs a copy would cost what the kernel's does.
    """

    def __init__(self, map_fd: int, key: np.dtype[np.void], value_shape: tuple[int, ...]) -> None:
        self._fd = map_fd
        self._key, self._value_shape = key, value_shape
        self._last = 0

    def read(self) -> Entries:
        """See MapReader."""
        rows = self._last + self._last // 8 + _MORE_ROWS
        keys = np.empty(rows, self._key)
        values = np.empty((rows, *self._value_shape), np.uint64)
        cursor = ct.create_string_buffer(8)
        n, started = 0, False
        while True:
            if n == len(keys):
                keys, values = _twice(keys), _twice(values)
            count = ct.c_uint32(len(keys) - n)
            result = library().bpf_map_lookup_batch(
                self._fd,
                cursor if started else None,
                cursor,
                ct.c_void_p(keys[n:].ctypes.data),
                ct.c_void_p(values[n:].ctypes.data),
                ct.byref(count),
                None,
            )
            failed = ct.get_errno() if result < 0 else 0
            if failed == errno.ENOSPC:  # one hash bucket alone is larger than the room left
                keys, values = _twice(keys), _twice(values)
                continue
            if failed not in (0, errno.ENOENT):
                raise OSError(failed, f"reading a map in one go: {os.strerror(failed)}")
            n, started = n + count.value, True
            if failed == errno.ENOENT:
                self._last = n
                return keys[:n], values[:n]


def _twice(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """With as much room again behind what is there."""
    return np.concatenate([array, np.empty_like(array)])


class KeyReader:
    """Reads a whole map key by key, two system calls each: for kernels that know no better.

    Nothing may be deleted meanwhile: the kernel begins again at the first key then.
    """

    def __init__(
        self, map_fd: int, key: np.dtype[np.void], value_shape: tuple[int, ...], max_entries: int
    ) -> None:
        self._fd = map_fd
        self._key = key
        self._value_shape = value_shape
        self._max_entries = max_entries

    def read(self) -> Entries:
        """See MapReader."""
        keys = np.frombuffer(b"".join(self._keys()), self._key)
        values = np.zeros((len(keys), *self._value_shape), np.uint64)
        found = np.array([self._copy(key, into) for key, into in zip(keys, values, strict=True)], bool)
        return keys[found], values[found]

    def _keys(self) -> list[bytes]:
        found: list[bytes] = []
        following = ct.create_string_buffer(self._key.itemsize)
        while len(found) < self._max_entries:
            last = found[-1] if found else None
            if library().bpf_map_get_next_key(self._fd, last, following) < 0:
                if ct.get_errno() == errno.ENOENT:
                    break
                raise failure("reading the keys of a map")
            found.append(following.raw)
        return found

    def _copy(self, key: np.void, into: npt.NDArray[np.uint64]) -> bool:
        result = library().bpf_map_lookup_elem(self._fd, key.tobytes(), ct.c_void_p(into.ctypes.data))
        if result < 0 and ct.get_errno() != errno.ENOENT:
            raise failure("reading an entry of a map")
        return int(result) == 0


def map_reader(
    map_fd: int, key: np.dtype[np.void], value_shape: tuple[int, ...], max_entries: int
) -> MapReader:
    """The quickest way to read this map that the kernel has."""
    reader = BatchReader(map_fd, key, value_shape)
    try:
        reader.read()
    except OSError as error:
        if error.errno not in _NO_BATCHES:
            raise
        log.info("this kernel reads no map in one go (%s): ours are read key by key", error.strerror)
        return KeyReader(map_fd, key, value_shape, max_entries)
    return reader


class RingReader:
    """Hands each record of a ring buffer to a function, in the order they were written.

    Mapped for good are the pages that say how far it was written and read; the data, which a mapping shows
    twice and which would all be resident, while there is something to read. Source: kernel/bpf/ringbuf.c.
    """

    def __init__(self, map_fd: int, on_record: Callable[[bytes], None]) -> None:
        self._on_record = on_record
        self._callback = _OnSample(self._relay)  # kept: C holds no reference to it
        self._map_fd = map_fd
        self._positions = mmap.mmap(map_fd, 2 * mmap.PAGESIZE, mmap.MAP_SHARED, mmap.PROT_READ)

    def _relay(self, _context: int, data: int, size: int) -> int:
        self._on_record(ct.string_at(data, size))
        return 0

    def consume(self) -> None:
        """Deliver what is there; does not wait."""
        if self._position(0) == self._position(mmap.PAGESIZE):
            return
        ring = library().ring_buffer__new(self._map_fd, self._callback, None, None)
        if not ring:
            raise failure("opening the ring buffer")
        try:
            checked(library().ring_buffer__consume(ct.c_void_p(ring)), "reading the ring buffer")
        finally:
            library().ring_buffer__free(ct.c_void_p(ring))

    def close(self) -> None:
        """Unmap it; safe to call twice."""
        self._positions.close()

    def _position(self, offset: int) -> int:
        """In bytes: of the reader in the first page, of the writers in the second."""
        position: int = _POSITION.unpack_from(self._positions, offset)[0]
        return position
