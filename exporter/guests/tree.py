"""One virtual machine's meter: a directory in the shape of the kernel's powercap tree, which it may mount.

Layout, below the machine's UUID: intel-rapl:0/{name,energy_uj,max_energy_range_uj} and so on, and MARK, by
which a podjoule in the guest knows the tree for a host's. What a guest was let write to must not lead our own
writes elsewhere: all is reached through descriptors of directories that were opened without following links.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from estimator.meters.host_tree import MARK, SCHEMA

RANGE_UJ = 2**53 - 1
"""Where counters wrap: the most that a double holds exactly; at 100 W after three years."""

# By zone: the directory, and what `name` says. The kernel names a package by its socket; a guest has one,
# whatever sockets its host has.
PLACES = {
    "package": ("intel-rapl:0", "package-0"),
    "core": ("intel-rapl:0:0", "core"),
    "uncore": ("intel-rapl:0:1", "uncore"),
    "dram": ("intel-rapl:0:2", "dram"),
    "psys": ("intel-rapl:1", "psys"),
    "platform": ("intel-rapl:2", "platform"),
}
_IN_PACKAGE = ("core", "uncore", "dram")
_TEMPORARY = ".podjoule-tmp"
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_MOST_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Mark:
    """What MARK says. source: where the host has the energy from. made: whether the directory is ours.

    since_seconds: when the row of the books began whose joules, added to base_uj of their zone, are the
    counter. None of it tells the guest more than its own energy does.
    """

    source: str = ""
    made: bool = False
    since_seconds: float = -1.0
    base_uj: Mapping[str, int] = field(default_factory=dict)


class GuestTree:
    """The tree of one machine; takes over what a process before this one left of it.

    Whatever is done with it raises OSError. share: a descriptor of the directory that holds all of them.
    since_seconds: when the row began whose joules are written: another one goes on from where the counters
    stand. Counters of a new tree begin anywhere, so that a guest that comes from another host cannot take
    one for the other's.
    """

    def __init__(self, share: int, uuid: str, since_seconds: float) -> None:
        self._share, self._uuid, self._since_seconds = share, uuid, since_seconds
        made = _make(uuid, share)
        self._folder = os.open(uuid, _DIRECTORY, dir_fd=share)
        self._zones: dict[str, int] = {}
        kept = _read_mark(self._folder)
        self._mark = replace(kept, made=made or kept.made)
        if kept.since_seconds != since_seconds:
            found = {zone: self._found(zone) for zone in PLACES}
            base_uj = {zone: energy_uj for zone, energy_uj in found.items() if energy_uj is not None}
            # A tree that has its mark and no counters yet was prepared: it begins there.
            self._mark = replace(self._mark, since_seconds=since_seconds, base_uj={**kept.base_uj, **base_uj})

    def write(self, joules: Mapping[str, float], source: str) -> None:
        """Bring counters up to date. joules: by zone, what the row holds; zones that are not in it stay."""
        zones = {zone: amount for zone, amount in joules.items() if zone in PLACES}
        if "package" not in {*zones, *self._mark.base_uj}:
            zones = {zone: amount for zone, amount in zones.items() if zone not in _IN_PACKAGE}
        new = [zone for zone in zones if zone not in self._zones]
        if new or source != self._mark.source:
            begun = {zone: secrets.randbelow(RANGE_UJ + 1) for zone in new}
            self._mark = replace(self._mark, source=source, base_uj={**begun, **self._mark.base_uj})
            _write(self._folder, MARK, json.dumps({"schema": SCHEMA, **asdict(self._mark)}))
        for zone in sorted(new, key=list(PLACES).index):  # a zone's package is there before it
            self._make_zone(zone, zones[zone])
        for zone, amount in zones.items():
            _write(self._zones[zone], "energy_uj", f"{self._counter(zone, amount)}\n")

    def remove(self) -> None:
        """Take the tree away; a directory that was there before us stays, empty."""
        self.close()
        folder = os.open(self._uuid, _DIRECTORY, dir_fd=self._share)
        try:
            for directory, _ in PLACES.values():
                with contextlib.suppress(FileNotFoundError):
                    shutil.rmtree(directory, dir_fd=folder)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(MARK, dir_fd=folder)
        finally:
            os.close(folder)
        if self._mark.made:
            os.rmdir(self._uuid, dir_fd=self._share)

    def close(self) -> None:
        """Leave the tree as it is, for the process after this one."""
        for descriptor in (*self._zones.values(), self._folder):
            os.close(descriptor)
        self._zones, self._folder = {}, -1

    def _counter(self, zone: str, joules: float) -> int:
        return (self._mark.base_uj[zone] + int(joules * 1e6)) % (RANGE_UJ + 1)

    def _make_zone(self, zone: str, joules: float) -> None:
        """A zone's directory, whole before it has a counter: a reader looks for that."""
        directory, name = PLACES[zone]
        _make(directory, self._folder)
        self._zones[zone] = descriptor = os.open(directory, _DIRECTORY, dir_fd=self._folder)
        _write(descriptor, "name", f"{name}\n")
        _write(descriptor, "max_energy_range_uj", f"{RANGE_UJ}\n")
        _write(descriptor, "energy_uj", f"{self._counter(zone, joules)}\n")

    def _found(self, zone: str) -> int | None:
        """Where the counter stands that a process before this one left."""
        try:
            descriptor = os.open(PLACES[zone][0], _DIRECTORY, dir_fd=self._folder)
        except OSError:
            return None
        try:
            text = _read(descriptor, "energy_uj").strip()
        except OSError:
            return None
        finally:
            os.close(descriptor)
        return int(text) % (RANGE_UJ + 1) if text.isdigit() else None


def left_behind(share: int) -> list[str]:
    """The UUIDs of the trees that a process before this one wrote, not of those that were prepared."""
    return [name for name in os.listdir(share) if _was_written(share, name)]


def _was_written(share: int, name: str) -> bool:
    try:
        folder = os.open(name, _DIRECTORY, dir_fd=share)
    except OSError:
        return False
    try:
        return _read_mark(folder).since_seconds != Mark().since_seconds
    finally:
        os.close(folder)


def _read_mark(folder: int) -> Mark:
    """What was kept; nothing where it is not ours, or not whole."""
    try:
        told: Any = json.loads(_read(folder, MARK))
        if told.pop("schema") != SCHEMA:
            return Mark()
        mark = Mark(**told)
        base_uj = {zone: int(mark.base_uj[zone]) % (RANGE_UJ + 1) for zone in mark.base_uj if zone in PLACES}
        return Mark(str(mark.source), bool(mark.made), float(mark.since_seconds), base_uj)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError):
        return Mark()


def _make(name: str, folder: int) -> bool:
    """Make a directory that everybody may read; whether it was not there."""
    try:
        os.mkdir(name, dir_fd=folder)
    except FileExistsError:
        return False
    descriptor = os.open(name, _DIRECTORY, dir_fd=folder)
    try:
        os.fchmod(descriptor, 0o755)
    finally:
        os.close(descriptor)
    return True


def _read(folder: int, name: str) -> bytes:
    descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    try:
        return os.read(descriptor, _MOST_BYTES)
    finally:
        os.close(descriptor)


def _write(folder: int, name: str, text: str) -> None:
    """In one step: whoever reads finds the old or the new, whole."""
    beside = name + _TEMPORARY
    with contextlib.suppress(FileNotFoundError):  # of a process that was killed, or a guest's that may write
        os.unlink(beside, dir_fd=folder)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(beside, flags, 0o644, dir_fd=folder)
    try:
        os.fchmod(descriptor, 0o644)
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)
    os.rename(beside, name, src_dir_fd=folder, dst_dir_fd=folder)
