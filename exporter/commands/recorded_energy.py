"""Who used how much of a recording's energy, tick by tick: what notebooks and reports are made from."""

from __future__ import annotations

import tempfile
from argparse import Namespace
from collections.abc import Iterator, Mapping
from pathlib import Path

from exporter.books.ledger import Ledger
from exporter.commands.player import Player
from exporter.configuration.config import load_config
from exporter.metrics.collect import CGROUP_KINDS
from exporter.names.accounts import Account
from exporter.names.workloads import Kind
from exporter.recording.reader import Recording

Row = dict[str, object]
_Used = Mapping[tuple[Kind, str], tuple[float, float]]

_SHORT_ID = 12


def play_energy(directory: Path, zone: str) -> list[Row]:
    """One row a tick and workload that used something: timestamp_seconds, interval_seconds, kind, namespace,
    workload, joules (active, of the zone), cpu_seconds.

    Pods, containers in none, virtual machines, and the cgroups of the rest: nothing twice. namespace is the
    pod's; of what runs in no pod, or in one whose namespace was not known, its kind in parentheses. Raises
    UsageError where there is no recording.
    """
    with tempfile.TemporaryDirectory(prefix="podjoule-energy-") as host:
        recording = Recording(directory)
        player = Player(load_config(Namespace(), {}), recording, Path(host), keep_all=True)
        ticks = ((tick.timestamp_seconds, tick.interval_seconds) for tick in recording.ticks())
        return list(_rows(player, zone, ticks))


def _rows(player: Player, zone: str, ticks: Iterator[tuple[float, float]]) -> Iterator[Row]:
    before: _Used = {}
    for _, (timestamp, interval) in zip(player.play(), ticks, strict=True):
        accounts, now = _used(player.measurement.ledger, zone)
        for key, (joules, seconds) in now.items():
            earlier = before.get(key, (0.0, 0.0))
            if joules > earlier[0] or seconds > earlier[1]:
                yield {
                    "timestamp_seconds": timestamp,
                    "interval_seconds": interval,
                    **_names(accounts[key]),
                    "joules": joules - earlier[0],
                    "cpu_seconds": seconds - earlier[1],
                }
        before = now


def _used(ledger: Ledger, zone: str) -> tuple[dict[tuple[Kind, str], Account], _Used]:
    """Joules and CPU seconds so far, of each workload once."""
    accounts, used = {}, {}
    balances = ledger.balances("pod", "container", "vm", *CGROUP_KINDS)
    if zone not in balances.zones:
        return {}, {}
    joules = balances.joules[:, balances.zones.index(zone)]
    for account, spent, seconds in zip(balances.accounts, joules, balances.cpu_seconds, strict=True):
        if account.workload.kind != "container" or not account.workload.pod_uid:
            accounts[account.key] = account
            used[account.key] = (float(spent), float(seconds))
    return accounts, used


def _names(account: Account) -> Row:
    kind, number = account.key
    shown = number[:_SHORT_ID] if kind in ("pod", "container") else number
    return {
        "kind": kind,
        "namespace": account.namespace or f"({kind})",
        "workload": account.name or f"{kind} {shown}",
    }
