"""Amounts as Kubernetes writes them: 100m, 0.5, 2, 1e3, 4Ki."""

from __future__ import annotations

import re
from functools import lru_cache
from math import isfinite

# The grammar of k8s.io/apimachinery, pkg/api/resource/quantity.go.
_QUANTITY = re.compile(
    r"(?P<number>\+?(?:[0-9]+\.?[0-9]*|\.[0-9]+))(?:(?P<suffix>[numkMGTPE]|[KMGTPE]i)|[eE](?P<exponent>[+-]?[0-9]+))?",
    re.ASCII,
)
_DECIMAL = {"n": -9, "u": -6, "m": -3, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}


@lru_cache(maxsize=1024)
def cores(text: str) -> float:
    """A CPU request in cores; 0 for what is no quantity, negative or beyond all numbers."""
    match = _QUANTITY.fullmatch(text) if len(text) < 64 else None
    if match is None:
        return 0.0
    suffix = match["suffix"] or ""
    if suffix in _BINARY:
        return float(match["number"]) * float(2 ** _BINARY[suffix])
    value = float(f"{match['number']}e{match['exponent'] or _DECIMAL.get(suffix, 0)}")
    return value if isfinite(value) else 0.0
