"""The capabilities of this process: which it holds, and which the kernel programs take.

Source: capabilities(7), capget(2), include/uapi/linux/capability.h.
"""

from __future__ import annotations

import ctypes as ct
import os
import platform
from collections.abc import Iterable, Set
from dataclasses import dataclass

BITS = {
    "DAC_OVERRIDE": 1,
    "DAC_READ_SEARCH": 2,
    "SETPCAP": 8,
    "SYS_PTRACE": 19,
    "SYS_ADMIN": 21,
    "SYS_RESOURCE": 24,
    "PERFMON": 38,
    "BPF": 39,
}
BPF_SINCE = (5, 8)  # CAP_BPF and CAP_PERFMON, split off CAP_SYS_ADMIN
NO_MEMLOCK_SINCE = (5, 11)  # maps are charged to the memory cgroup and no longer to RLIMIT_MEMLOCK

_VERSION_3 = 0x20080522


class _Header(ct.Structure):
    _fields_ = [("version", ct.c_uint32), ("pid", ct.c_int)]


class _Words(ct.Structure):
    _fields_ = [("effective", ct.c_uint32), ("permitted", ct.c_uint32), ("inheritable", ct.c_uint32)]


@dataclass(frozen=True, slots=True)
class CapabilitySets:
    """The three sets of a thread that execve(2) leaves to it, as bit masks."""

    effective: int
    permitted: int
    inheritable: int


def read_sets() -> CapabilitySets:
    """Those of the calling thread. Raises OSError."""
    words = (_Words * 2)()
    _call("capget", words)
    low, high = words
    return CapabilitySets(
        *(getattr(low, name) | getattr(high, name) << 32 for name, _ in _Words._fields_)  # type: ignore[misc]
    )


def write_sets(sets: CapabilitySets) -> None:
    """Set those of the calling thread, and of no other. Raises OSError."""
    words = (_Words * 2)()
    for name, _ in _Words._fields_:  # type: ignore[misc]
        mask = getattr(sets, name)
        setattr(words[0], name, mask & 0xFFFFFFFF)
        setattr(words[1], name, mask >> 32)
    _call("capset", words)


def _call(function: str, words: ct.Array[_Words]) -> None:
    libc = ct.CDLL(None, use_errno=True)
    if getattr(libc, function)(ct.byref(_Header(_VERSION_3, 0)), words):
        number = ct.get_errno()
        raise OSError(number, f"{function}: {os.strerror(number)}")


def names_in(mask: int) -> frozenset[str]:
    """Those of BITS that a mask holds."""
    return frozenset(name for name, bit in BITS.items() if mask >> bit & 1)


def mask_of(names: Iterable[str]) -> int:
    """The bits of these names."""
    return sum(1 << BITS[name] for name in names)


def written(names: Iterable[str]) -> str:
    """ "CAP_BPF, CAP_PERFMON" for people."""
    return ", ".join(f"CAP_{name}" for name in names)


def kernel_version() -> tuple[int, int]:
    """Major and minor of the running kernel."""
    major, minor = platform.release().split(".")[:2]
    return int(major), int("".join(c for c in minor if c.isdigit()) or 0)


def wanted_for_programs(version: tuple[int, int]) -> tuple[str, ...]:
    """What loading tracing programs and opening events for every task takes on a kernel of this version."""
    wanted = ("BPF", "PERFMON") if version >= BPF_SINCE else ("SYS_ADMIN",)
    return wanted if version >= NO_MEMLOCK_SINCE else (*wanted, "SYS_RESOURCE")


def lacking(wanted: Iterable[str], held: Set[str]) -> list[str]:
    """Those wanted that are not held; CAP_SYS_ADMIN still holds what was split off it."""
    return [
        name
        for name in wanted
        if name not in held and not (name in ("BPF", "PERFMON") and "SYS_ADMIN" in held)
    ]


def refusal(version: tuple[int, int], held: Set[str]) -> str:
    """Why the kernel refused a program with EPERM, and what it takes, in half a line."""
    wanted = wanted_for_programs(version)
    needs = f"needs {' and '.join(f'CAP_{name}' for name in wanted)} (or root)"
    if missing := lacking(wanted, held):
        return f"{needs}; not effective here: {written(missing)}"
    return f"{needs}; all are effective here: a seccomp profile, a user namespace or kernel lockdown refuses"


def refusal_here() -> str:
    """`refusal` for this kernel and thread."""
    return refusal(kernel_version(), names_in(read_sets().effective))
