"""/api/v1/workloads: who uses how much now, and has used since the start."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from estimator.energy import FloatArray
from exporter.names.accounts import Account
from exporter.serving.api.query import WorkloadsQuery
from exporter.serving.api.view import VALUES, Place, Rows, View, is_top

IndexArray = npt.NDArray[np.intp]

# Python's JSON encoder takes four times as long for rows as joining what is told here once a workload.
_encode: Callable[[object], str] = json.JSONEncoder().encode
_SPARE_TEXTS = 200  # of workloads that are gone, beside as many as there are rows


class WorkloadsWriter:
    """Writes the document; keeps the text of what does not change in a workload's life. For one thread."""

    def __init__(self) -> None:
        self._texts: dict[tuple[str, str], tuple[Account, Place, str]] = {}

    def write(self, view: View, query: WorkloadsQuery) -> bytes:
        """The rows that were asked for, in their order; null for what is not known."""
        rows = view.rows
        matching = np.flatnonzero(_matches(rows, query))
        chosen = _ordered(rows, matching, query)[: query.limit]
        head = {
            "time": view.pace.unix(view.pace.ended_seconds),
            "tick": view.pace.number,
            "interval_seconds": view.pace.interval_seconds,
            "zones": list(rows.zones),
            "counted_zones": list(view.energy.counted_zones),
            "matched": len(matching),
        }
        body = ",\n".join(self._rows(rows, chosen))
        return f'{_encode(head)[:-1]}, "workloads": [\n{body}\n]}}\n'.encode()

    def _rows(self, rows: Rows, chosen: IndexArray) -> list[str]:
        if len(self._texts) > 2 * len(rows.accounts) + _SPARE_TEXTS:
            self._forget_all_but(rows.accounts)
        texts = [self._text(rows.accounts[i], rows.places[i]) for i in chosen.tolist()]
        numbers = _numbers(np.hstack([rows.values, rows.watts, rows.joules])[chosen], rows.zones)
        ends = [
            ', "running": true}' if running else ', "running": false}' for running in rows.running[chosen]
        ]
        return list(map("".join, zip(texts, numbers, ends, strict=True)))

    def _forget_all_but(self, accounts: Sequence[Account]) -> None:
        """A text and what it was made from take over a kilobyte: nodes on which much is short-lived would not
        let go of them for hours."""
        here = {account.key for account in accounts}
        self._texts = {key: text for key, text in self._texts.items() if key in here}

    def _text(self, account: Account, place: Place) -> str:
        key = account.key
        kept = self._texts.get(key)
        if kept is not None and kept[0] is account and kept[1] is place:
            return kept[2]
        text = _describe(account, place)
        self._texts[key] = account, place, text
        return text


def _describe(account: Account, place: Place) -> str:
    """A row up to its numbers."""
    workload = account.workload
    # A process's id holds what /proc says of it, between zero bytes.
    identity = workload.id.replace("\0", "|")
    described = {
        "kind": workload.kind,
        "id": identity,
        "name": account.name or (str(place.pid) if place.pid else identity),
        "namespace": place.namespace or account.namespace or None,
        "pod": place.pod or None,
        "container": place.container or None,
        "workload_kind": place.workload_kind or None,
        "workload_name": place.workload_name or None,
        "runtime": workload.runtime or None,
        "cgroup": workload.cgroup or None,
        "pid": place.pid or None,
    }
    return _encode(described)[:-1]


def _numbers(values: FloatArray, zones: Sequence[str]) -> list[str]:
    """Each row's numbers, to ten digits; shape (n, len(VALUES) + 2 n_zones)."""
    unknown = np.isnan(values)
    # A pattern of gaps as one number: numpy sorts these at once, rows of booleans slowly.
    patterns, firsts, pattern_of = np.unique(
        unknown @ (1 << np.arange(values.shape[1])), return_index=True, return_inverse=True
    )
    spelt = [""] * len(values)
    for i in range(len(patterns)):  # two or three: few rows lack something that others have
        pattern, rows = unknown[firsts[i]], np.flatnonzero(pattern_of == i)
        template = _template(pattern.tolist(), zones)
        for row, known in zip(rows.tolist(), values[rows][:, ~pattern].tolist(), strict=True):
            spelt[row] = template % tuple(known)
    return spelt


def _template(unknown: Sequence[bool], zones: Sequence[str]) -> str:
    """A row's numbers as a format, those that are not known left out of it."""
    places = iter("null" if each else "%.10g" for each in unknown)
    numbers = ", ".join(f'"{name}": {next(places)}' for name in VALUES)
    # A zone's name may come from a model's file.
    names = [_encode(zone).replace("%", "%%") for zone in zones]
    watts, joules = (", ".join(f"{name}: {next(places)}" for name in names) for _ in range(2))
    return f', {numbers}, "watts_by_zone": {{{watts}}}, "joules_by_zone": {{{joules}}}'


def _matches(rows: Rows, query: WorkloadsQuery) -> npt.NDArray[np.bool_]:
    def matches(account: Account, place: Place) -> bool:
        return (
            (not query.kinds or account.workload.kind in query.kinds)
            and (query.level == "all" or is_top(account.workload.kind, account.workload.pod_uid))
            and (not query.pod or place.pod == query.pod)
            and (not query.container or place.container == query.container)
        )

    found = map(matches, rows.accounts, rows.places)
    return np.fromiter(found, np.bool_, len(rows.accounts))


def _ordered(rows: Rows, chosen: IndexArray, query: WorkloadsQuery) -> IndexArray:
    """What is not known comes last in both directions; equals in the order of their names."""
    names = np.array([rows.accounts[i].name or rows.accounts[i].workload.id for i in chosen.tolist()], object)
    by_name = chosen[np.argsort(names, kind="stable")] if len(names) else chosen
    if query.sort == "name":
        return by_name[::-1] if query.order == "descending" else by_name
    values = rows.values[by_name, VALUES.index(query.sort)]
    return by_name[np.argsort(values if query.order == "ascending" else -values, kind="stable")]
