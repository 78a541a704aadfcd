"""The one door to libbpf, through ctypes: objects, programs. Maps: bpf_maps.py. Types: btf.py.

Every call raises OSError with the kernel's errno. Needs libbpf 1.0 or later (libbpf.so.1).
"""

from __future__ import annotations

import ctypes as ct
import errno
import functools
import logging
import os
from collections import deque
from pathlib import Path

from ebpf.errors import SourceUnavailable

log = logging.getLogger("ebpf")

_TEST_RUN_ON_CPU = 1

_Print = ct.CFUNCTYPE(ct.c_int, ct.c_int, ct.c_char_p, ct.c_void_p)


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


class _OpenOptions(ct.Structure):
    """struct bpf_object_open_opts up to btf_custom_path (libbpf 0.8)."""

    _fields_ = [
        ("sz", ct.c_size_t),
        ("object_name", ct.c_char_p),
        ("relaxed_maps", ct.c_bool),
        ("pin_root_path", ct.c_char_p),
        ("no_longer", ct.c_uint32),
        ("kconfig", ct.c_char_p),
        ("btf_custom_path", ct.c_char_p),
    ]


class _ProgInfo(ct.Structure):
    """struct bpf_prog_info up to run_cnt (kernel 5.1)."""

    _fields_ = [("before", ct.c_uint8 * 192), ("run_time_ns", ct.c_uint64), ("run_cnt", ct.c_uint64)]


_WARN = 0  # enum libbpf_print_level
_LONGEST = 1 << 20  # of a message: all that the verifier says is in one
verdicts: deque[str] = deque(maxlen=1)
"""The verifier's last word on the program that it refused last."""

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


def _relay(level: int, template: bytes, arguments: int) -> int:
    """Hand libbpf's own messages, the verifier's among them, to our log; they explain, we decide."""
    if level == _WARN or log.isEnabledFor(logging.DEBUG):
        buffer = ct.create_string_buffer(_LONGEST)
        ct.CDLL(None).vsnprintf(buffer, ct.sizeof(buffer), template, ct.c_void_p(arguments))
        text = buffer.value.decode(errors="replace").rstrip()
        log.debug("libbpf: %s", text)
        if reason := refusal_in(text):
            verdicts.append(reason)
    return 0


def refusal_in(message: str) -> str:
    """The verifier's last word in a message of libbpf's: the line before its statistics; "" for none."""
    _, begun, told = message.partition("BEGIN PROG LOAD LOG --")
    lines = [line.strip() for line in told.partition("-- END PROG LOAD LOG")[0].splitlines()]
    said = [line for line in lines if line and not line.startswith("processed ")]
    return said[-1] if begun and said else ""


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
    """A BPF object file: opened, adjusted, loaded, attached, closed, in that order.

    types: the file that tells where the kernel keeps things, where it does not say so itself.
    """

    def __init__(self, image: bytes, types: Path | None = None) -> None:
        self._lib = library()
        self._links: dict[str, int] = {}
        self._image = ct.create_string_buffer(image, len(image))
        self._options = _OpenOptions(
            sz=ct.sizeof(_OpenOptions), btf_custom_path=os.fsencode(types) if types else None
        )
        self._object = self._lib.bpf_object__open_mem(
            self._image, ct.c_size_t(len(image)), ct.byref(self._options)
        )
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

    def leave_out_map(self, name: str) -> None:
        """Have load() not make a map, which no program that is loaded uses."""
        checked(self._lib.bpf_map__set_autocreate(self._map(name), ct.c_bool(False)), f"leaving out {name}")

    def leave_out_program(self, name: str) -> None:
        """Have load() pass a program by."""
        checked(
            self._lib.bpf_program__set_autoload(self._program(name), ct.c_bool(False)), f"leaving out {name}"
        )

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


def run_here(program_fd: int) -> int:
    """Run one raw_tp program with ourselves as the running task; what it returns."""
    options = _TestRun(sz=ct.sizeof(_TestRun))
    checked(library().bpf_prog_test_run_opts(program_fd, ct.byref(options)), "running a program")
    return int(options.retval)


def run_with(program_fd: int, argument: int) -> None:
    """Run one raw_tp program with a first argument (kernel 5.10)."""
    arguments = (ct.c_uint64 * 1)(argument)
    options = _TestRun(sz=ct.sizeof(_TestRun), ctx_in=ct.addressof(arguments), ctx_size_in=8)
    checked(library().bpf_prog_test_run_opts(program_fd, ct.byref(options)), "running a program")


def run_statistics(program_fd: int) -> tuple[int, int]:
    """Runs and nanoseconds of a program; both 0 where kernel.bpf_stats_enabled is 0."""
    info = _ProgInfo()
    size = ct.c_uint32(ct.sizeof(info))
    result = library().bpf_obj_get_info_by_fd(program_fd, ct.byref(info), ct.byref(size))
    checked(result, "reading a program's statistics")
    return info.run_cnt, info.run_time_ns
