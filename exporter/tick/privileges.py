"""Giving up the capabilities that nothing needs any more once the programs are attached."""

from __future__ import annotations

import ctypes as ct
import logging
import os
from collections.abc import Set
from pathlib import Path

from ebpf.capabilities import (
    BITS,
    CapabilitySets,
    kernel_version,
    mask_of,
    names_in,
    read_sets,
    write_sets,
    written,
)
from ebpf.cpus import offline_cpus
from ebpf.perf_events import try_events
from exporter.configuration.config import Config

log = logging.getLogger("exporter.privileges")

# Source: include/uapi/linux/prctl.h.
_CAPBSET_READ, _CAPBSET_DROP, _SET_NO_NEW_PRIVS, _CAP_AMBIENT, _AMBIENT_CLEAR_ALL = 23, 24, 38, 47, 4
# From 5.19 on (c8644cd0efe7) a map or program that one has a descriptor of may be used without CAP_BPF.
_FREE_DESCRIPTORS_SINCE = (5, 19)
_TASKS = Path("/proc/self/task")


def still_needed(config: Config, version: tuple[int, int] | None = None) -> frozenset[str]:
    """What measuring takes after the start, by the names in ebpf.capabilities.BITS, if it is held at all.

    DAC_READ_SEARCH: a RAPL zone that comes back, keys and names in files of others. SYS_PTRACE: the
    executable of a process of another user. BPF: reading our own maps before 5.19. PERFMON: opening the
    events of CPUs that are offline now. DAC_OVERRIDE: writing to a directory for state or for guests that is
    somebody else's.
    """
    needed = {"DAC_READ_SEARCH"}
    if "process" in config.exporter.prometheus.metrics_level:
        needed.add("SYS_PTRACE")
    if config.ebpf.loader != "none" and (version or kernel_version()) < _FREE_DESCRIPTORS_SINCE:
        needed |= {"BPF"} if "BPF" in _permitted() else {"SYS_ADMIN"}
    if config.ebpf.loader != "none" and _more_events_may_come(config.host.sysfs):
        needed.add("PERFMON")
    ours = (config.state.dir, config.vm.share_dir)
    if any(folder is not None and _owner(folder) != os.geteuid() for folder in ours):
        needed.add("DAC_OVERRIDE")
    return frozenset(needed)


def give_up(kept: Set[str]) -> None:
    """Give up every capability but those kept, for good, and say so in one line; a failure is a warning.

    capset(2) and prctl(2) act on the calling thread: call it while there is no other, since threads inherit.
    """
    try:
        held = read_sets()
        _close_ways_back(held, mask_of(kept))
        left = CapabilitySets(held.effective & mask_of(kept), held.permitted & mask_of(kept), 0)
        write_sets(left)
        others = len(list(_TASKS.iterdir())) - 1
    except OSError as error:
        log.warning("capabilities are not given up: %s", error)
        return
    if held.permitted:
        log.info("capabilities given up; kept: %s", written(sorted(names_in(left.effective))) or "none")
    if others:
        log.warning("%d threads started too early keep their capabilities", others)


def _close_ways_back(held: CapabilitySets, kept: int) -> None:
    """So that executing a program, as uid 0 or one with file capabilities, brings nothing back."""
    _prctl(_SET_NO_NEW_PRIVS, 1)
    _prctl(_CAP_AMBIENT, _AMBIENT_CLEAR_ALL)
    if held.effective >> BITS["SETPCAP"] & 1:
        for bit in range(64):
            if not kept >> bit & 1 and _in_bounding_set(bit):
                _prctl(_CAPBSET_DROP, bit)


def _in_bounding_set(bit: int) -> bool:
    return int(ct.CDLL(None).prctl(_CAPBSET_READ, ct.c_ulong(bit))) == 1


def _prctl(operation: int, argument: int) -> None:
    libc = ct.CDLL(None, use_errno=True)
    zero = ct.c_ulong(0)
    if libc.prctl(operation, ct.c_ulong(argument), zero, zero, zero):
        number = ct.get_errno()
        raise OSError(number, f"prctl {operation}: {os.strerror(number)}")


def _more_events_may_come(sysfs: Path) -> bool:
    """Whether CPUs are offline that the kernel has room for, and have events to count.

    Where all are online nothing is kept for the case that one goes and comes back: its events are not counted
    then, which a line says, and a restart mends.
    """
    try:
        return bool(offline_cpus(sysfs)) and not all(try_events(sysfs).values())
    except (OSError, ValueError):
        return False


def _permitted() -> frozenset[str]:
    try:
        return names_in(read_sets().permitted)
    except OSError:
        return frozenset()


def _owner(directory: Path) -> int:
    """The uid that owns a directory, or the nearest one above it that is there already."""
    for path in (directory, *directory.absolute().parents):
        try:
            return path.stat().st_uid
        except OSError:
            continue
    return os.geteuid()
