"""Every virtual machine's energy, written down for it each tick."""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ebpf.state_log import StateLog
from exporter.books.ledger import Balances, Ledger
from exporter.guests.emulators import Emulator, running
from exporter.guests.tree import GuestTree, left_behind
from exporter.names.accounts import Account
from exporter.names.workloads import Workload

log = logging.getLogger("exporter.guests")

# An emulator is moved into its cgroup after that was made, and its container is named after it has started.
_SEARCH_SECONDS = 60.0
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# KubeVirt's container of that name in a pod virt-launcher-… runs the emulator.
_KUBEVIRT = "compute"


@dataclass(frozen=True, slots=True)
class _Row:
    """What the books say of a machine. joules: by zone, of those that gave a reading in the last tick."""

    account: Account
    since_seconds: float
    joules: Mapping[str, float]


class GuestShares:
    """Trees of all machines that run, in one directory; for one thread.

    lock: a descriptor of the directory, held for as long as nobody else may write there. procfs: the host's.
    find: what tells the emulators that run; looked for where a machine is not known yet.
    """

    def __init__(
        self,
        directory: Path,
        lock: int,
        procfs: Path,
        find: Callable[[Path], list[Emulator]] = running,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lock, self._procfs, self._find, self._clock = lock, procfs, find, clock
        self._trees: dict[str, tuple[str, GuestTree]] = {}  # by UUID, with the row that is written
        self._uuids: dict[str, str] = {}
        self._seen: dict[str, float] = {}
        self._swept = False
        self._failing = StateLog(
            log, f"energy is not shared with guests in {directory}", "energy is shared with guests again"
        )

    def share(self, ledger: Ledger, source: str) -> None:
        """Write what the books hold by now, active and idle. source: where the node's energy comes from.

        A machine that has ended loses its tree. Raises the last OSError, once all trees were tried.
        """
        rows = {row.account.workload.id: row for row in _machines(ledger)}
        self._name(rows)
        by_uuid = {uuid: rows[key] for key, uuid in reversed(self._uuids.items()) if uuid}
        failed: OSError | None = None
        for uuid in [uuid for uuid in self._trees if uuid not in by_uuid]:
            failed = self._remove(self._trees.pop(uuid)[1]) or failed
        for uuid, row in by_uuid.items():
            failed = self._write(uuid, row, source) or failed
        self._failing.enter("" if failed is None else f"{failed.strerror or failed}")
        if failed is not None:
            raise failed

    def close(self) -> None:
        """Leave every tree where it stands: its guest goes on from there."""
        for uuid in list(self._trees):
            self._let_go(uuid)
        os.close(self._lock)

    def _name(self, rows: Mapping[str, _Row]) -> None:
        """Find the UUIDs of machines that are new, and forget those that have ended."""
        for key in [key for key in self._seen if key not in rows]:
            self._uuids.pop(key, None)
            del self._seen[key]
        unknown = [key for key in rows if key not in self._uuids]
        if not unknown and self._swept:
            return
        emulators = self._find(self._procfs)
        if not self._swept:
            self._sweep({emulator.uuid for emulator in emulators})
        for key in unknown:
            self._name_one(key, rows[key].account.workload, emulators)

    def _name_one(self, key: str, workload: Workload, emulators: Sequence[Emulator]) -> None:
        now = self._clock()
        seconds = now - self._seen.setdefault(key, now)
        uuid = next((each.uuid for each in emulators if each.is_in(workload.cgroup)), "")
        if uuid:
            self._uuids[key] = uuid
            log.info("%s is machine %s: its energy is shared with it", workload.cgroup, uuid)
        elif seconds > _SEARCH_SECONDS:
            self._uuids[key] = ""
            if workload.kind == "vm":
                log.warning(
                    "%s: its energy is not shared with it: no emulator with a UUID (qemu -uuid) runs there",
                    workload.cgroup,
                )

    def _sweep(self, alive: set[str]) -> None:
        """Remove the trees of machines that ended while nobody was here."""
        self._swept = True
        with suppress(OSError):
            for uuid in left_behind(self._lock):
                if _UUID.fullmatch(uuid) and uuid not in alive:
                    self._remove(GuestTree(self._lock, uuid, 0.0))

    def _write(self, uuid: str, row: _Row, source: str) -> OSError | None:
        try:
            try:
                self._tree(uuid, row).write(row.joules, source)
            except FileNotFoundError:  # somebody took it away
                self._let_go(uuid)
                self._tree(uuid, row).write(row.joules, source)
        except OSError as error:
            self._let_go(uuid)
            return error
        return None

    def _tree(self, uuid: str, row: _Row) -> GuestTree:
        """The machine's; opened anew where its cgroup is another, which has a row of its own."""
        key = row.account.workload.id
        if uuid in self._trees and self._trees[uuid][0] != key:
            self._let_go(uuid)
        if uuid not in self._trees:
            self._trees[uuid] = key, GuestTree(self._lock, uuid, row.since_seconds)
        return self._trees[uuid][1]

    def _let_go(self, uuid: str) -> None:
        if uuid in self._trees:
            self._trees.pop(uuid)[1].close()

    def _remove(self, tree: GuestTree) -> OSError | None:
        try:
            tree.remove()
        except FileNotFoundError:
            return None
        except OSError as error:
            return error
        return None


def _machines(ledger: Ledger) -> Iterator[_Row]:
    """The rows of machines that run: a VM of its own, or the container of KubeVirt's that holds one."""
    yield from _rows(ledger.balances("vm"))
    containers = ledger.balances("container")
    if any(account.name == _KUBEVIRT for account in containers.accounts):
        yield from (row for row in _rows(containers) if row.account.name == _KUBEVIRT)


def _rows(balances: Balances) -> Iterator[_Row]:
    billed = balances.joules + balances.idle_joules
    for at, account in enumerate(balances.accounts):
        if balances.running[at]:
            heard = ~np.isnan(balances.watts[at])
            amounts = zip(balances.zones, billed[at].tolist(), heard.tolist(), strict=True)
            joules = {zone: amount for zone, amount, is_heard in amounts if is_heard}
            yield _Row(account, float(balances.since_seconds[at]), joules)
