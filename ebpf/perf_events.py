"""Perf events, opened once per CPU, that the kernel programs read.

Source: perf_event_open(2), include/uapi/linux/perf_event.h.
"""

from __future__ import annotations

import ctypes as ct
import errno
import fcntl
import os
import platform
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ebpf.capabilities import names_in, read_sets
from ebpf.cpus import online_cpus, parse_cpu_list

TYPE_HARDWARE, TYPE_SOFTWARE = 0, 1
_SYSCALL = {"x86_64": 298, "aarch64": 241}
_FLAG_CLOEXEC = 8
_DISABLED = 1  # the first bit of the flags
_IOC_ENABLE = 0x2400  # PERF_EVENT_IOC_ENABLE
_FORMAT_TIMES = 3  # PERF_FORMAT_TOTAL_TIME_ENABLED | _RUNNING
_PARANOID = "sys/kernel/perf_event_paranoid"
_MAINLINE = 2  # the strictest level there
_EXTENDED_TYPE_SHIFT = 32  # PERF_PMU_TYPE_SHIFT (kernel 5.14)


@dataclass(frozen=True, slots=True)
class Event:
    """A counter's type and config as perf_event_open takes them."""

    type: int
    config: int


EVENT_FIELDS = ("cycles", "instructions", "cache_misses")
# cache_misses is the last-level miss: PERF_TYPE_HW_CACHE config 3, which Kepler opened, is dTLB loads.
# On arm64 perf takes the level 1 data cache's refills for it (armv8_pmuv3_perf_map).
HARDWARE: Mapping[str, Event] = {
    "cycles": Event(TYPE_HARDWARE, 0),
    "instructions": Event(TYPE_HARDWARE, 1),
    "cache_misses": Event(TYPE_HARDWARE, 3),
}


class _Attributes(ct.Structure):
    """struct perf_event_attr, version 0 with room for the kernel's own check of `size`."""

    _fields_ = [
        ("type", ct.c_uint32),
        ("size", ct.c_uint32),
        ("config", ct.c_uint64),
        ("sample_period", ct.c_uint64),
        ("sample_type", ct.c_uint64),
        ("read_format", ct.c_uint64),
        ("flags", ct.c_uint64),
        ("wakeup", ct.c_uint32),
        ("bp_type", ct.c_uint32),
        ("config1", ct.c_uint64),
    ]


def open_event(
    event: Event, cpu: int, cgroup_fd: int | None = None, *, leader: int = -1, at_rest: bool = False
) -> int:
    """Open one event on one CPU, for every task or for those of one cgroup; returns a descriptor.

    leader: the event whose group it joins. at_rest: it counts nothing until it is started.
    Raises OSError: ENOENT or EOPNOTSUPP where there is no such counter, EACCES without CAP_PERFMON, EINVAL
    where the PMU has no room for the group.
    """
    attributes = _Attributes(
        type=event.type,
        size=ct.sizeof(_Attributes),
        config=event.config,
        read_format=_FORMAT_TIMES,
        flags=_DISABLED if at_rest else 0,
    )
    libc = ct.CDLL(None, use_errno=True)
    pid, flags = (-1, _FLAG_CLOEXEC) if cgroup_fd is None else (cgroup_fd, _FLAG_CLOEXEC | 4)
    number = _SYSCALL.get(platform.machine(), _SYSCALL["aarch64"])
    fd = libc.syscall(ct.c_long(number), ct.byref(attributes), pid, cpu, leader, ct.c_ulong(flags))
    if fd < 0:
        failed = ct.get_errno()
        raise OSError(
            failed, f"perf_event_open type {event.type} config {event.config}: {os.strerror(failed)}"
        )
    return int(fd)


def start(leader: int) -> bool:
    """Let a group count that was opened at rest; False where time passed and it was not on the PMU.

    Raises OSError.
    """
    fcntl.ioctl(leader, _IOC_ENABLE, 0)
    _, enabled_ns, running_ns = struct.unpack("QQQ", os.read(leader, 24))
    return bool(running_ns) or not enabled_ns


def hybrid_types(sysfs: Path) -> dict[int, int]:
    """The PMU type of each CPU on a machine with several core PMUs (cpu_core, cpu_atom); empty elsewhere."""
    types: dict[int, int] = {}
    for device in sorted((sysfs / "bus/event_source/devices").glob("cpu_*")):
        try:
            pmu = int((device / "type").read_text())
            cpus = parse_cpu_list((device / "cpus").read_text())
        except (OSError, ValueError):
            continue
        types.update(dict.fromkeys(cpus, pmu))
    return types


def event_for(event: Event, cpu: int, hybrid: Mapping[int, int]) -> Event:
    """The event as that CPU's PMU wants it: a generic one carries its PMU's type in the high half."""
    if event.type != TYPE_HARDWARE or cpu not in hybrid:
        return event
    return Event(event.type, event.config | hybrid[cpu] << _EXTENDED_TYPE_SHIFT)


def restricted(procfs: Path) -> str:
    """What a patch of Debian's and Ubuntu's kernels takes where it is in force, in half a line; else empty.

    Beyond the levels of the mainline kernel it lets CAP_PERFMON count for nothing. Source: Debian's patch
    security-perf-allow-further-restriction-of-perf_event_open.
    """
    try:
        level = int((procfs / _PARANOID).read_text())
    except (OSError, ValueError):
        return ""
    if level <= _MAINLINE:
        return ""
    perfmon = "" if "PERFMON" in names_in(read_sets().effective) else " with CAP_PERFMON"
    return (
        f"kernel.perf_event_paranoid is {level}, and beyond 2 Debian's and Ubuntu's kernels want"
        f" CAP_SYS_ADMIN: sysctl kernel.perf_event_paranoid=2{perfmon}, or give CAP_SYS_ADMIN"
    )


def explained(error: OSError, procfs: Path) -> str:
    """Why an event could not be opened, without the event."""
    reason = (error.strerror or str(error)).rpartition(": ")[2]
    if error.errno not in (errno.EACCES, errno.EPERM):
        return reason
    return (
        f"{reason}: {restricted(procfs) or 'needs CAP_PERFMON, or kernel.perf_event_paranoid at 0 or less'}"
    )


def try_events(sysfs: Path) -> dict[str, int]:
    """Open each hardware counter, on a CPU of each kind of core: field -> 0, or the errno of perf_event_open.

    Raises OSError or ValueError where sysfs does not say which CPUs are online.
    """
    cpus, hybrid = online_cpus(sysfs), hybrid_types(sysfs)
    of_each_kind = {hybrid.get(cpu, 0): cpu for cpu in reversed(cpus)}
    return {
        name: next(
            filter(
                None, (_errno_of_opening(event_for(event, cpu, hybrid), cpu) for cpu in of_each_kind.values())
            ),
            0,
        )
        for name, event in HARDWARE.items()
    }


def _errno_of_opening(event: Event, cpu: int) -> int:
    try:
        os.close(open_event(event, cpu))
    except OSError as error:
        return error.errno or errno.EIO
    return 0
