"""/api/v1/history: the power of the last hour, of the node and of those who used the most of it."""

from __future__ import annotations

import json
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from estimator.energy import FloatArray
from exporter.names.accounts import Account
from exporter.serving.api.history import Window
from exporter.serving.api.query import HistoryQuery
from exporter.serving.api.view import View


def write_history(view: View, query: HistoryQuery) -> bytes:
    """The document; watts to five digits, null at points of which nothing is known."""
    since = query.since - view.pace.wall_offset_seconds
    window = view.history.window(since, query.step_slots, query.top)
    points = _Points(window)
    step = query.step_slots * view.history.slot_seconds
    head = {
        "time": view.pace.unix(view.pace.ended_seconds),
        "step_seconds": step,
        "counted_zones": list(view.energy.counted_zones),
    }
    zones = list(dict.fromkeys(name.partition("/")[0] for name in window.series if "/" in name))
    parts = [
        json.dumps(head)[1:-1],
        f'"ends": {_list(f"{view.pace.unix(end):.3f}" for end in window.ends.tolist())}',
        f'"covered_seconds": {_list(f"{seconds:.3f}" for seconds in window.covered_seconds.tolist())}',
        f'"node": {points.node("")}',
        f'"zones": {{{", ".join(f"{json.dumps(zone)}: {points.node(zone)}" for zone in zones)}}}',
        f'"workloads": [{", ".join(points.workloads())}]',
        f'"others": {{"workloads": {window.n_others}, {points.energy(window.others)}}}',
    ]
    return f"{{{', '.join(parts)}}}\n".encode()


class _Points:
    """Joules of a window as the text of watts."""

    def __init__(self, window: Window) -> None:
        self._window = window
        self._known: npt.NDArray[np.bool_] = window.covered_seconds > 0
        # One template for all rows: the gaps are the same in each.
        self._template = _list("%.5g" if known else "null" for known in self._known.tolist())

    def watts(self, joules: FloatArray) -> str:
        """A list with a number or null a point."""
        watts = joules[self._known] / self._window.covered_seconds[self._known]
        return self._template % tuple(watts.tolist())

    def energy(self, joules: FloatArray) -> str:
        """The two members that everything has which has used energy."""
        return f'"joules": {float(joules.sum()):.10g}, "watts": {self.watts(joules)}'

    def node(self, zone: str) -> str:
        """The node, or one of its zones."""
        prefix = f"{zone}/" if zone else ""
        names = ("total", "idle") if zone else ("total", "idle", "unattributed")
        zeros = np.zeros(len(self._window.ends))
        series = {name: self._window.series.get(prefix + name, zeros) for name in names}
        told = [f'"joules": {float(series["total"].sum()):.10g}', f'"watts": {self.watts(series["total"])}']
        told += [f'"{name}_watts": {self.watts(series[name])}' for name in names[1:]]
        return f"{{{', '.join(told)}}}"

    def workloads(self) -> Iterable[str]:
        """One object a workload."""
        for account, joules in zip(self._window.accounts, self._window.joules, strict=True):
            yield f"{_described(account)}, {self.energy(joules)}}}"


def _described(account: Account) -> str:
    workload = account.workload
    described = {
        "kind": workload.kind,
        "id": workload.id,
        "name": account.name or workload.id,
        "namespace": account.namespace or None,
    }
    return json.dumps(described)[:-1]


def _list(items: Iterable[str]) -> str:
    return f"[{', '.join(items)}]"
