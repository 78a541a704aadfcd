"""The one door to libbpf, through ctypes: objects, maps, programs, ring buffers. Types: btf.py.

Every call raises OSError with the kernel's errno. Needs libbpf 1.0 or later (libbpf.so.1).
"""

from __future__ import annotations

import ctypes as ct
import errno
import functools
import logging
import os
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from ebpf.errors import SourceUnavailable

log = logging.getLogger("ebpf")

_TEST_RUN_ON_CPU = 1

_Print = ct.CFUNCTYPE(ct.c_int, ct.c_int, ct.c_char_p, ct.c_void_p)
_OnSample = ct.CFUNCTYPE(ct.c_int, ct.c_void_p, ct.c_void_p, ct.c_size_t)


class _TestRun(ct.Structure):
    """struct bpf_test_run_opts of libbpf 1.0."""

    _fields_ = [
        ("sz", ct.c_size_t),
        ("data_in", ct.c_void_p),
        ("data_out", ct.c_void_p),
        ("data_size_in", ct.c_uint32),
        ("data_size_out", ct.c_uint32),
        ("ctx_in", ct.c_void_p),
        ("ctx_out", ct.c_void_p),
        ("ctx_size_in", ct.c_uint32),
        ("ctx_size_out", ct.c_uint32),
        ("retval", ct.c_uint32),
        ("repeat", ct.c_int),
        ("duration", ct.c_uint32),
        ("flags", ct.c_uint32),
        ("cpu", ct.c_uint32),
        ("batch_size", ct.c_uint32),
    ]


class _ProgInfo(ct.Structure):
    """struct bpf_prog_info up to run_cnt (kernel 5.1)."""

    _fields_ = [("before", ct.c_uint8 * 192), ("run_time_ns", ct.c_uint64), ("run_cnt", ct.c_uint64)]


_POINTERS = (
    "bpf_object__open_mem",
    "bpf_object__find_map_by_name",
    "bpf_object__find_program_by_name",
    "bpf_map__initial_value",
    "bpf_program__attach",
    "ring_buffer__new",
)


@functools.cache
def library() -> ct.CDLL:
    """libbpf, loaded once. Raises SourceUnavailable where it is not installed."""
    try:
        lib = ct.CDLL("libbpf.so.1", use_errno=True)
    except OSError as error:
        raise SourceUnavailable(f"libbpf.so.1 cannot be loaded ({error}): install libbpf1") from error
    for name in _POINTERS:
        getattr(lib, name).restype = ct.c_void_p
    lib.libbpf_set_print.restype = ct.c_void_p
    lib.libbpf_set_print(_print)
    return lib


def _relay(_level: int, template: bytes, arguments: int) -> int:
    """Hand libbpf's own messages, the verifier's among them, to our log; they explain, we decide."""
    if log.isEnabledFor(logging.DEBUG):
        text = ct.create_string_buffer(4096)
        ct.CDLL(None).vsnprintf(text, ct.sizeof(text), template, ct.c_void_p(arguments))
        log.debug("libbpf: %s", text.value.decode(errors="replace").rstrip())
    return 0


_print = _Print(_relay)  # kept: C holds no reference to it


def failure(what: str) -> OSError:
    """The error of the call that has just failed, by the C library's errno."""
    number = ct.get_errno()
    return OSError(number, f"{what}: {os.strerror(number)}")


def checked(result: int, what: str) -> int:
    """The result of a call. Raises OSError where it is negative."""
    if result < 0:
        raise failure(what)
    return result


def possible_cpus() -> int:
    """How many CPUs the kernel's per-CPU values have room for."""
    return checked(library().libbpf_num_possible_cpus(), "counting the possible CPUs")


class Object:
    """A BPF object file: opened, adjusted, loaded, attached, closed, in that order."""

    def __init__(self, image: bytes) -> None:
        self._lib = library()
        self._links: dict[str, int] = {}
        self._image = ct.create_string_buffer(image, len(image))
        self._object = self._lib.bpf_object__open_mem(self._image, ct.c_size_t(len(image)), None)
        if not self._object:
            raise failure("opening the BPF object")

    def _map(self, name: str) -> ct.c_void_p:
        found = self._lib.bpf_object__find_map_by_name(ct.c_void_p(self._object), name.encode())
        if not found:
            raise OSError(errno.ENOENT, f"no map {name} in the BPF object")
        return ct.c_void_p(found)

    def _program(self, name: str) -> ct.c_void_p:
        found = self._lib.bpf_object__find_program_by_name(ct.c_void_p(self._object), name.encode())
        if not found:
            raise OSError(errno.ENOENT, f"no program {name} in the BPF object")
        return ct.c_void_p(found)

    def set_max_entries(self, name: str, entries: int) -> None:
        """Size a map; before load()."""
        checked(
            self._lib.bpf_map__set_max_entries(self._map(name), ct.c_uint32(entries)), f"sizing map {name}"
        )

    def set_flags(self, name: str, flags: int) -> None:
        """Set a map's creation flags; before load()."""
        checked(self._lib.bpf_map__set_map_flags(self._map(name), ct.c_uint32(flags)), f"flags of map {name}")

    def set_initial(self, name: str, value: bytes) -> None:
        """Set the contents of a constant section such as `.rodata.settings`; before load()."""
        size = ct.c_size_t()
        start = self._lib.bpf_map__initial_value(self._map(name), ct.byref(size))
        if not start or size.value < len(value):
            raise OSError(errno.EINVAL, f"section {name} has {size.value} bytes, {len(value)} wanted")
        ct.memmove(start, value, len(value))

    def set_pin(self, name: str, path: str) -> None:
        """Have load() take a map over from this path of a bpffs, or make it and pin it there."""
        result = self._lib.bpf_map__set_pin_path(self._map(name), os.fsencode(path))
        checked(result, f"the pin of map {name}")

    def load(self) -> None:
        """Have the kernel verify and load every program."""
        checked(self._lib.bpf_object__load(ct.c_void_p(self._object)), "loading the BPF programs")

    def attach(self, name: str) -> None:
        """Attach one program to the hook its section names."""
        link = self._lib.bpf_program__attach(self._program(name))
        if not link:
            raise failure(f"attaching {name}")
        self._links[name] = link

    def link_fd(self, name: str) -> int:
        """The descriptor of an attached program's link."""
        return checked(self._lib.bpf_link__fd(ct.c_void_p(self._links[name])), f"descriptor of link {name}")

    def map_fd(self, name: str) -> int:
        """The descriptor of a loaded map."""
        return checked(self._lib.bpf_map__fd(self._map(name)), f"descriptor of map {name}")

    def program_fd(self, name: str) -> int:
        """The descriptor of a loaded program."""
        return checked(self._lib.bpf_program__fd(self._program(name)), f"descriptor of program {name}")

    def close(self) -> None:
        """Detach and unload everything; safe to call twice."""
        for link in self._links.values():
            self._lib.bpf_link__destroy(ct.c_void_p(link))
        self._links.clear()
        if self._object:
            self._lib.bpf_object__close(ct.c_void_p(self._object))
        self._object = None


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


def delete(map_fd: int, key: bytes) -> bool:
    """Delete one entry; False where there was none."""
    return int(library().bpf_map_delete_elem(map_fd, key)) == 0


def lookup(map_fd: int, index: int, into: npt.NDArray[np.generic]) -> None:
    """Read one array entry (all CPUs' values of a per-CPU map) into a contiguous array."""
    result = library().bpf_map_lookup_elem(
        map_fd, ct.byref(ct.c_uint32(index)), into.ctypes.data_as(ct.c_void_p)
    )
    checked(result, f"reading entry {index} of a map")


class BatchReader:
    """Reads a whole map in few system calls (kernel 5.6), into arrays that are kept between readings."""

    def __init__(
        self, map_fd: int, key: np.dtype[np.void], value_shape: tuple[int, ...], max_entries: int
    ) -> None:
        self._fd = map_fd
        self._max_entries = max_entries
        self._keys = np.zeros(min(1024, max_entries), key)
        self._values = np.zeros((len(self._keys), *value_shape), np.uint64)

    def read(self) -> tuple[npt.NDArray[np.void], npt.NDArray[np.uint64]]:
        """Copies of the keys, shape (n,), and of the values, shape (n, *value_shape)."""
        cursor = ct.create_string_buffer(8)
        n, started = 0, False
        while True:
            if n == len(self._keys):
                self._grow()
            count = ct.c_uint32(len(self._keys) - n)
            result = library().bpf_map_lookup_batch(
                self._fd,
                cursor if started else None,
                cursor,
                ct.c_void_p(self._keys[n:].ctypes.data),
                ct.c_void_p(self._values[n:].ctypes.data),
                ct.byref(count),
                None,
            )
            failed = ct.get_errno() if result < 0 else 0
            if failed == errno.ENOSPC:  # one hash bucket alone is larger than the room left
                self._grow()
                continue
            if failed not in (0, errno.ENOENT):
                raise OSError(failed, f"reading a map in one go: {os.strerror(failed)}")
            n, started = n + count.value, True
            if failed == errno.ENOENT:
                return self._keys[:n].copy(), self._values[:n].copy()

    def _grow(self) -> None:
        rows = len(self._keys)
        self._keys = np.concatenate([self._keys, np.zeros(rows, self._keys.dtype)])
        self._values = np.concatenate([self._values, np.zeros_like(self._values)])


class CpuRunner:
    """Runs one raw_tp program on a chosen CPU (kernel 5.10)."""

    def __init__(self, program_fd: int) -> None:
        self._fd = program_fd
        self._options = _TestRun(sz=ct.sizeof(_TestRun), flags=_TEST_RUN_ON_CPU)
        self._reference = ct.byref(self._options)
        self._run = library().bpf_prog_test_run_opts

    def run(self, cpu: int) -> None:
        """Run it once there, and wait. Raises OSError: ENXIO for a CPU that is offline."""
        self._options.cpu = cpu
        checked(self._run(self._fd, self._reference), f"running a program on CPU {cpu}")


class RingReader:
    """Hands each record of a ring buffer to a function, in the order they were written."""

    def __init__(self, map_fd: int, on_record: Callable[[bytes], None]) -> None:
        self._on_record = on_record
        self._callback = _OnSample(self._relay)  # kept: C holds no reference to it
        self._ring = library().ring_buffer__new(map_fd, self._callback, None, None)
        if not self._ring:
            raise failure("opening the ring buffer")

    def _relay(self, _context: int, data: int, size: int) -> int:
        self._on_record(ct.string_at(data, size))
        return 0

    def consume(self) -> None:
        """Deliver what is there; does not wait."""
        checked(library().ring_buffer__consume(ct.c_void_p(self._ring)), "reading the ring buffer")

    def close(self) -> None:
        """Unmap the buffer; safe to call twice."""
        if self._ring:
            library().ring_buffer__free(ct.c_void_p(self._ring))
        self._ring = None


def run_statistics(program_fd: int) -> tuple[int, int]:
    """Runs and nanoseconds of a program; both 0 where kernel.bpf_stats_enabled is 0."""
    info = _ProgInfo()
    size = ct.c_uint32(ct.sizeof(info))
    result = library().bpf_obj_get_info_by_fd(program_fd, ct.byref(info), ct.byref(size))
    checked(result, "reading a program's statistics")
    return info.run_cnt, info.run_time_ns
