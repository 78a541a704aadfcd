"""What is shown of a store: which files hold the span that is asked for, verified, and their summary."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ebpf.errors import UsageError
from exporter.reports.engine import Engine, Part
from exporter.reports.hours import is_over
from exporter.reports.manifest import read_manifest, verify
from exporter.reports.months import Folder, Span, Store, hour_of, span_named
from exporter.reports.summary import Summary
from exporter.reports.summing import Asked, summarize


@dataclass(frozen=True, slots=True)
class Holding:
    """The files of a month. hours_missing: of those that are over. sha256: of the manifest, "" while open."""

    parts: tuple[Part, ...]
    hours_missing: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for. before: what to compare with, as far as it is there, None for nothing. by: see
    expressions.dimensions. namespaces: these alone, () for all and for what is nobody's."""

    span: Span
    before: Span | None
    by: tuple[str, ...]
    clusters: Sequence[str]
    namespaces: tuple[str, ...] = ()


def show(engine: Engine, store: Store, wanted: Wanted, now: float) -> Summary:
    """The summary of a span. now: unix time.

    Raises UsageError where nothing is there, AccountInvalid where a closed file was changed.
    """
    span, before, clusters = wanted.span, wanted.before, wanted.clusters
    holdings = list(_holdings(store, span, clusters, now))
    if not any(each.parts for each in holdings):
        raise UsageError(f"{store.shown}: nothing of {span.name} is there; {_known(store, clusters)}")
    past = [each for each in _holdings(store, before, clusters, now) if each.parts] if before else []
    parts = [part for each in (*past, *holdings) for part in each.parts]
    asked = Asked(
        span,
        tuple(clusters),
        wanted.by,
        before if past else None,
        sum(each.hours_missing for each in holdings),
        _closed(holdings),
        wanted.namespaces,
    )
    return summarize(engine, engine.rows(parts), asked)


def newest(store: Store, clusters: Sequence[str]) -> Span:
    """The last month of which anything is there. Raises UsageError where there is none."""
    months = [month for cluster in clusters for month in store.months(cluster)]
    if not months:
        raise UsageError(f"{store.shown}: no months are there; `podjoule report collect` makes them")
    return span_named(max(months))


def clusters_of(store: Store, wanted: Sequence[str]) -> tuple[str, ...]:
    """Those that are wanted, or all. Raises UsageError for one that is not there."""
    found = store.clusters()
    if unknown := sorted(set(wanted) - set(found)):
        known = ", ".join(found) or "no clusters"
        raise UsageError(f"--cluster: {store.shown} has no {', '.join(unknown)}; it has {known}")
    return tuple(sorted(set(wanted))) or found


def _holdings(store: Store, span: Span, clusters: Sequence[str], now: float) -> Iterator[Holding]:
    for cluster in clusters:
        for month in span.months:
            yield _holding(store, store.folder(cluster, month), span_named(month), now)


def _holding(store: Store, folder: Folder, span: Span, now: float) -> Holding:
    if not folder.is_closed:
        paths = tuple(f"{folder.path}/{name}" for name in folder.hours.values())
        over = [hour for hour in span.hours if is_over(hour, now)]
        part = Part(folder.cluster, paths)
        return Holding((part,) if paths else (), len(set(over) - folder.hours.keys()), "")
    manifest = read_manifest(store, folder)
    verify(store, folder, manifest)
    parts = tuple(
        Part(folder.cluster, (f"{folder.path}/{entry.name}",), tuple(sorted(map(hour_of, replaced))))
        for entry, replaced in manifest.counting()
    )
    missing = sum(hour_of(hour) in span.hours for hour in manifest.hours_missing)
    return Holding(parts, missing, manifest.sha256)


def _closed(holdings: Sequence[Holding]) -> str:
    """The manifest's hash, or that of all of them; "" where one is open."""
    hashes = [each.sha256 for each in holdings if each.parts]
    if not all(hashes):
        return ""
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("\n".join(hashes).encode()).hexdigest()


def _known(store: Store, clusters: Sequence[str]) -> str:
    found = "; ".join(f"{cluster}: {', '.join(store.months(cluster))}" for cluster in clusters)
    return f"there are {found}" if found else "there are no clusters; `podjoule report collect` makes them"
