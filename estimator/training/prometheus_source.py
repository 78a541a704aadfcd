"""A samples table from a Prometheus that has scraped podjoule.

What our metrics hold of a whole node is its energy, and its features as podjoule_node_<feature>_total. Where
a node's podjoule is older than those, CPU time is the sum over containers and cgroups, and what the kernel's
map could not hold; nothing else is known of it. Virtual machines export none, so a row of such a node that
runs one has an empty cell; so has every row of one whose sum falls short of kepler_node_cpu_usage_ratio, as
when a level of metrics is switched off.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
from prometheus_api_client import PrometheusConnect
from prometheus_api_client.exceptions import PrometheusApiClientException
from requests import RequestException
from tqdm.auto import tqdm

from estimator.errors import SamplesInvalid
from estimator.features import PREDICTORS
from estimator.meters.port import ZONES
from estimator.training.requirements import require_room
from estimator.training.samples import Samples, clean_samples

log = logging.getLogger("estimator.training.prometheus")

# Far below the 11,000 points a series that Prometheus answers at once, as the server sums over many series.
POINTS_PER_PIECE = 1000
TIMEOUT_SECONDS = 60
# The sum of CPU time over all series may fall so far short of the node's ratio, which is read tick-wise.
_LEAST_COMPLETE = 0.8
_TICKS = "podjoule_ticks_total"
_INDEX = ["node", "at"]
_WHOLE = "whole "


@dataclass(frozen=True, slots=True)
class Range:
    """start, end: unix seconds. step_seconds: whole; by default how often the server scraped. selector: label
    matchers such as 'job="podjoule"', where more than podjoule has these metrics or two jobs scrape it."""

    start: float
    end: float
    step_seconds: int | None = None
    selector: str = ""


def read_prometheus(url: str, wanted: Range, *, quiet: bool = False, least_rows: int = 0) -> Samples:
    """The usable rows of every node in the range, as read_samples gives them for files.

    One row a scrape; none across a gap, a restart or a reset of the counters. Energy that a model estimated
    is left out. quiet: no progress bar. least_rows: a range that cannot hold so many is not read. Raises
    SamplesInvalid where the server does not answer, refuses, or has nothing of ours in the range.
    """
    with PrometheusConnect(url=url, timeout=TIMEOUT_SECONDS) as server:
        step = wanted.step_seconds or scrape_interval(server, wanted)
        require_room("range", wanted.end - wanted.start, step, least_rows)
        frame = _table(_Reader(server, wanted, step, quiet).read(), step)
    if frame.empty:
        raise SamplesInvalid(f"{url}: no two scrapes of podjoule {step} s apart in the range asked for")
    return clean_samples(frame, url)


def scrape_interval(server: PrometheusConnect, wanted: Range) -> int:
    """Whole seconds between the last scrapes in the range. Raises SamplesInvalid where there are too few."""
    span = max(1, min(3600, round(wanted.end - wanted.start)))
    answer = _asking(
        server.custom_query,
        f"{_TICKS}{{{wanted.selector}}}[{span}s]",
        params={"time": wanted.end},
    )
    times = [np.diff([float(at) for at, _ in series["values"]]) for series in answer]
    gaps = np.concatenate(times) if times else np.empty(0)
    if not gaps.size:
        raise SamplesInvalid(
            f"{server.url}: no {_TICKS}{{{wanted.selector}}} in the range; is podjoule scraped?"
        )
    return max(1, round(float(np.median(gaps))))


class _Reader:
    """Every expression over the range, piece by piece."""

    def __init__(self, server: PrometheusConnect, wanted: Range, step: int, quiet: bool) -> None:
        self._server = server
        self._step = step
        self._quiet = quiet
        self._expressions = _expressions(wanted.selector, step)
        self._pieces = list(pieces(wanted.start, wanted.end, step))

    def read(self) -> dict[str, pd.DataFrame]:
        """By name of the expression: node, at (grid, unix seconds), zone, value."""
        rows: dict[str, list[pd.DataFrame]] = {name: [] for name in self._expressions}
        asked = [(name, piece) for piece in self._pieces for name in self._expressions]
        for name, (first, last) in tqdm(asked, unit="query", desc="Prometheus", disable=self._quiet):
            answer = _asking(
                self._server.custom_query_range,
                self._expressions[name],
                datetime.fromtimestamp(first, UTC),
                datetime.fromtimestamp(last, UTC),
                str(self._step),
            )
            rows[name] += [_series(series) for series in answer]
        empty = pd.DataFrame({"node": [], "at": [], "zone": [], "value": []})
        return {name: pd.concat(parts) if parts else empty for name, parts in rows.items()}


def pieces(start: float, end: float, step: int) -> Iterator[tuple[int, int]]:
    """First and last point of each piece of the grid (multiples of step) from start to end."""
    first, last = math.ceil(start / step), math.floor(end / step)
    for begin in range(first, last + 1, POINTS_PER_PIECE):
        yield begin * step, min(begin + POINTS_PER_PIECE - 1, last) * step


def _expressions(selector: str, step: int) -> Mapping[str, str]:
    """PromQL by name; every one has a series a node of a cluster, or such a node and zone."""
    chosen = f"{{{selector}}}"
    measured = f'podjoule_power_source_info{{source!~"model|none"{"," if selector else ""}{selector}}}'
    seconds = (
        "kepler_container_cpu_seconds_total",
        "podjoule_cgroup_cpu_seconds_total",
        "podjoule_bpf_dropped_seconds_total",
    )
    used = " or ".join(_increase(f"{name}{chosen}", step) for name in seconds)
    joules = _increase(f"kepler_node_cpu_joules_total{chosen}", step)
    whole = {
        f"{_WHOLE}{name}": "sum by (cluster, node_name)"
        f" ({_increase(f'podjoule_node_{name}_total{chosen}', step)})"
        for name in PREDICTORS
    }
    return {
        **whole,
        "ticks": f"{_TICKS}{chosen}",
        "scraped": f"timestamp({_TICKS}{chosen})",
        "n_cpu": f"count by (cluster, node_name) (kepler_node_cpu_info{chosen})",
        "ratio": f"max by (cluster, node_name) (kepler_node_cpu_usage_ratio{chosen})",
        "vms": f"count by (cluster, node_name) (kepler_vm_cpu_joules_total{chosen})",
        "cpu_seconds": f"sum by (cluster, node_name) ({used})",
        "joules": f"sum by (cluster, node_name, zone) ({joules})"
        f" and on (cluster, node_name, zone) {measured}",
    }


def _increase(series: str, step: int) -> str:
    """What a counter grew by since the last point, exactly (increase() extrapolates): all of it where it was
    not there or has begun anew. A series that ends takes nothing from the sum, as it would from a sum of
    counters."""
    return f"(({series} - {series} offset {step}s) >= 0 or {series})"


def _series(series: Mapping[str, Any]) -> pd.DataFrame:
    at, values = zip(*series["values"], strict=True)
    labels = series["metric"]
    return pd.DataFrame(
        {
            "node": _node(labels),
            "at": np.array(at, dtype=np.float64).round().astype(np.int64),
            "zone": labels.get("zone", ""),
            "value": np.array(values, dtype=np.float64),
        }
    )


def _node(labels: Mapping[str, str]) -> str:
    """The node's name, after that of its cluster where series have one: two clusters may have a node-1."""
    return "/".join(name for name in (labels.get("cluster"), labels.get("node_name")) if name)


def _table(answers: Mapping[str, pd.DataFrame], step: int) -> pd.DataFrame:
    """The samples table, unchecked."""
    _require_one_podjoule(answers["ticks"])
    one = {
        name: rows.set_index(_INDEX)["value"].rename(name)
        for name, rows in answers.items()
        if name != "joules"
    }
    frame = pd.DataFrame({name: one[name] for name in ("ticks", "scraped", "n_cpu")}).sort_index()
    frame = frame.join(one["cpu_seconds"]).join(_joules(answers["joules"]))
    frame.loc[frame.index.isin(one["vms"].index), "cpu_seconds"] = np.nan
    whole = pd.DataFrame({name: one[f"{_WHOLE}{name}"] for name in PREDICTORS if len(one[f"{_WHOLE}{name}"])})
    rows = _with_intervals(frame.reset_index(), step)
    rows = _without_incomplete(rows.join(one["ratio"], on=_INDEX), whole.index)
    rows = _with_whole(rows, whole)
    rows["timestamp_seconds"] = rows["scraped"]
    return rows.drop(columns=["at", "ticks", "scraped", "ratio"])


def _with_whole(rows: pd.DataFrame, whole: pd.DataFrame) -> pd.DataFrame:
    """What the node itself says it used goes before what its parts add up to."""
    told = pd.DataFrame(rows[_INDEX]).join(whole, on=_INDEX)
    for name in whole:
        rows[name] = told[name].fillna(rows[name]) if name in rows else told[name]
    return rows


def _joules(rows: pd.DataFrame) -> pd.DataFrame:
    known = rows[rows["zone"].isin(ZONES)]
    return known.pivot(index=_INDEX, columns="zone", values="value").add_suffix("_joules")


def _with_intervals(frame: pd.DataFrame, step: int) -> pd.DataFrame:
    """The rows that follow on the one before, each with the time that its deltas span.

    Counters move at podjoule's ticks, not when they are scraped: the span is the ticks between, each as long
    as the node's mean one. A scrape between two ticks says nothing new and is no row.
    """
    before = frame.groupby("node")[["at", "ticks", "scraped"]].shift()
    ticks, seconds = frame["ticks"] - before["ticks"], frame["scraped"] - before["scraped"]
    follows = (frame["at"] - before["at"] == step) & (ticks >= 0) & (seconds >= 0)
    sums = pd.DataFrame({"node": frame["node"], "ticks": ticks, "seconds": seconds})[follows]
    by_node = sums.groupby("node")[["ticks", "seconds"]].sum()
    tick_seconds = frame["node"].map(by_node["seconds"] / by_node["ticks"])
    spans = frame.assign(interval_seconds=ticks * tick_seconds)
    return spans[follows & (ticks > 0)].reset_index(drop=True)


def _without_incomplete(rows: pd.DataFrame, told: pd.MultiIndex) -> pd.DataFrame:
    """Empties the CPU time of nodes whose series do not add up to what the node used; told: the rows in which
    the node says it itself."""
    used = rows["ratio"] * rows["n_cpu"] * rows["interval_seconds"]
    known = rows["cpu_seconds"].notna() & used.notna() & ~pd.MultiIndex.from_frame(rows[_INDEX]).isin(told)
    sums = pd.DataFrame({"node": rows["node"], "summed": rows["cpu_seconds"], "used": used})[known]
    by_node = sums.groupby("node").sum()
    short = by_node.index[by_node["summed"] < _LEAST_COMPLETE * by_node["used"]]
    for node in short:
        log.warning("%s: its series do not hold all of its CPU time; left out as a feature", node)
    rows.loc[rows["node"].isin(short), "cpu_seconds"] = np.nan
    return rows


def _require_one_podjoule(ticks: pd.DataFrame) -> None:
    twice = ticks[ticks.duplicated(_INDEX)]["node"].unique()
    if len(twice):
        raise SamplesInvalid(
            f"node_name {', '.join(twice)}: more than one series of {_TICKS}; choose one by a selector "
            """such as 'job="podjoule"'"""
        )


def _asking(ask: Any, *arguments: Any, **options: Any) -> Sequence[Any]:
    """The answer's series; what goes wrong on the way as SamplesInvalid."""
    try:
        return list(ask(*arguments, **options))
    except (RequestException, PrometheusApiClientException, ValueError, KeyError) as error:
        raise SamplesInvalid(f"Prometheus does not answer: {' '.join(str(error).split())}") from error
