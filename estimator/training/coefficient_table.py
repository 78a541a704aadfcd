"""The coefficients of a model file as people read them: units, and from where to where they were seen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from estimator.features import PREDICTORS

_PREFIXES = ((1e-9, 1e-12, "p"), (1e-6, 1e-9, "n"), (1e-3, 1e-6, "µ"), (1.0, 1e-3, "m"))
_HEAD = ("zone", "of each", "coefficient", "seen a CPU-second", "beyond what was seen")


def coefficient_rows(document: Mapping[str, Any]) -> list[Sequence[str]]:
    """A header and a row a zone and feature, from the JSON of a model; the header alone for other kinds."""
    rows = [
        (zone, _one(feature), _joules(joules), _seen(document, feature), _beyond(of, feature))
        for zone, of in document["zones"].items()
        for feature, joules in of.get("coefficients", {}).items()
    ]
    return [_HEAD, *rows]


def terms(document: Mapping[str, Any]) -> Iterator[str]:
    """The curves of each zone of trees in one line: idle watts a CPU, and what each term adds."""
    for zone, of in document["zones"].items():
        if of["kind"] == "trees":
            limits = dict(zip(of["features"], of["limits"], strict=True))
            added = [_term(term, limits) for term in of["linear"]["terms"]]
            yield f"- {zone}: " + " + ".join([f"{of['linear']['idle_watts_per_cpu']:.3g} W", *added])


def _term(term: Mapping[str, Any], limits: Mapping[str, float]) -> str:
    feature, power = term["feature"], term.get("power", 1)
    ratio = f"({feature.replace('_', ' ')} / {_count(limits[feature])})"
    bent = f"rise({ratio}, {term['knee']:g})" if "knee" in term else ratio
    return f"{term['watts_per_cpu']:.3g} W · {bent}" + ("" if power == 1 else f"^{power:g}")


def _one(feature: str) -> str:
    known = {"cpu_seconds": "CPU-second", "cache_misses": "cache miss"}
    return known.get(feature, feature.removesuffix("s").replace("_", " "))


def _count(count: float) -> str:
    """Three digits, with k, M or G."""
    for least, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= least:
            return f"{count / least:.3g} {unit}"
    return f"{count:.3g}"


def _joules(joules: float) -> str:
    """Joules as pJ, nJ, µJ, mJ or J; three digits."""
    for below, unit, prefix in _PREFIXES:
        if 0 < joules < below:
            return f"{joules / unit:.3g} {prefix}J"
    return f"{joules:.3g} J"


def _seen(document: Mapping[str, Any], feature: str) -> str:
    low, high = document["envelope"].get(feature, (None, None))
    if low is None or high is None:
        return "not known"
    if feature == "cpu_seconds":
        return f"{low:.0%} to {high:.0%} of the CPUs"
    return f"{_count(low)} to {_count(high)}"


def _beyond(zone: Mapping[str, Any], feature: str) -> str:
    if feature not in PREDICTORS or zone["kind"] not in ("linear", "trees"):
        return "-"
    if zone["kind"] == "linear":
        held = zone.get("held", {}).get(feature)
        return "goes on" if held is None else f"nothing over {_count(held)} a CPU-second of capacity"
    return "goes on" if feature in zone["linear"]["extends"] else "nothing"
