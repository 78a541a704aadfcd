"""What one tick published, as a push takes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from exporter.metrics.exposition import Family

# The process's and the interpreter's own have conventions of their own, and are no energy.
_PUSHED = ("kepler_", "podjoule_")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Families as they were at a moment. unix_ns: the moment, in ns since 1970."""

    families: Sequence[Family]
    unix_ns: int


def snapshot_of(families: Sequence[Family], unix_ns: int) -> Snapshot:
    """A copy of what is pushed: the next tick may write into the arrays that it was given."""
    kept = [family for family in families if family.name.startswith(_PUSHED)]
    return Snapshot([replace(family, values=np.array(family.values, np.float64)) for family in kept], unix_ns)
