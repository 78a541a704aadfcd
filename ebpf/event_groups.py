"""The events of each CPU, opened as one perf group where that can be.

Events of a group are on the PMU together or not at all, so that the times of the first are those of all: at a
switch the programs read the times once. Source: perf_event_open(2), group_fd.
"""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ebpf.descriptors import raise_descriptor_limit
from ebpf.perf_events import Event, event_for, explained, hybrid_types, open_event, start

log = logging.getLogger("ebpf")

_NO_ROOM = "the PMU has no room for all at once"
_ONE_ALONE = "one event is no group"


@dataclass(frozen=True, slots=True)
class Opened:
    """One CPU's events: field -> descriptor. apart: why they are no group; empty where they are one.

    refused: field -> why it could not be opened; the others are open all the same.
    """

    descriptors: dict[str, int]
    apart: str = ""
    refused: Mapping[str, OSError] = field(default_factory=dict)

    @property
    def is_group(self) -> bool:
        """Whether the times of the first event are those of all."""
        return not self.apart

    def close(self) -> None:
        """Close all; what a map keeps goes on counting. Safe to call twice."""
        for fd in self.descriptors.values():
            os.close(fd)
        self.descriptors.clear()


def open_on_cpu(
    events: Mapping[str, Event], cpu: int, hybrid: Mapping[int, int], *, apart: str = ""
) -> Opened:
    """Open a CPU's events, in the order of events, as a group where that can be; each alone where it cannot.

    apart: why they are to be opened each alone, if they are. hybrid: see hybrid_types.
    """
    wanted = {field: event_for(event, cpu, hybrid) for field, event in events.items()}
    if len(wanted) < 2:
        apart = _ONE_ALONE
    if not apart:
        try:
            return Opened(_open_group(wanted, cpu))
        except OSError as error:
            apart = (error.strerror or str(error)).rpartition(": ")[2]
    return _open_apart(wanted, cpu, apart)


def _open_group(wanted: Mapping[str, Event], cpu: int) -> dict[str, int]:
    """All count from one moment on. Raises OSError, with none left open; EBUSY where the PMU takes them not.

    So the times of one are those of all to the nanosecond, and whoever reads each by itself is right as well.
    """
    opened: dict[str, int] = {}
    try:
        for name, event in wanted.items():
            leader = next(iter(opened.values()), -1)
            opened[name] = open_event(event, cpu, leader=leader, at_rest=not opened)
        if not start(next(iter(opened.values()))):
            raise OSError(errno.EBUSY, _NO_ROOM)
    except OSError:
        Opened(opened).close()
        raise
    return opened


def _open_apart(wanted: Mapping[str, Event], cpu: int, apart: str) -> Opened:
    opened: dict[str, int] = {}
    refused: dict[str, OSError] = {}
    for name, event in wanted.items():
        try:
            opened[name] = open_event(event, cpu)
        except OSError as error:
            refused[name] = error
    return Opened(opened, apart, refused)


def open_all(
    events: Mapping[str, Event], cpus: Sequence[int], sysfs: Path, procfs: Path
) -> tuple[dict[str, Event], dict[int, Opened]]:
    """Open what can be had: those of events that every CPU has, and cpu -> what is open there."""
    hybrid = hybrid_types(sysfs)
    raise_descriptor_limit()
    wanted = dict(events)
    lacking: dict[str, str] = {}
    opened: dict[int, Opened] = {}
    while wanted and (refused := _open_on_cpus(wanted, cpus, hybrid, opened)):
        for name, error in refused.items():
            lacking[name.replace("_", " ")] = explained(error, procfs)
            del wanted[name]
    if lacking:
        log.info("not counted: %s (%s)", ", ".join(lacking), "; ".join(sorted(set(lacking.values()))))
    return wanted, opened


def _open_on_cpus(
    wanted: Mapping[str, Event], cpus: Sequence[int], hybrid: Mapping[int, int], into: dict[int, Opened]
) -> Mapping[str, OSError]:
    """What the first CPU that lacks something refused, with nothing left open then."""
    for cpu in cpus:
        into[cpu] = open_on_cpu(wanted, cpu, hybrid)
        if refused := into[cpu].refused:
            for opened in into.values():
                opened.close()
            into.clear()
            return refused
    return {}


def tell_apart(opened: Mapping[int, Opened]) -> None:
    """Say where several events are no group, and why, in a line a reason."""
    for reason in sorted({each.apart for each in opened.values()} - {"", _ONE_ALONE}):
        cpus = ", ".join(str(cpu) for cpu, each in opened.items() if each.apart == reason)
        log.info("CPU %s: each event is opened and read by itself: %s", cpus, reason)
