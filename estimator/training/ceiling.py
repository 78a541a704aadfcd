"""The most that each zone of the machine of the training can draw, for its model file to say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from estimator.machine.specification import Specification, ceilings
from estimator.training.accuracy import load_of_rows
from estimator.training.samples import watts_of

# What full load may draw beyond what the rows imply: other work than they hold, faster clocks.
_HEADROOM = 2.0
# Loads below this tell nothing of a full one.
_LEAST_LOAD = 0.1


def ceiling_per_cpu(rows: pd.DataFrame, zone: str, machine: Mapping[str, Any]) -> float:
    """Watts per CPU. By the specification where the machine's TDP and sockets are told, else twice what the
    rows imply for full load: their most, over their highest load. Never less than was measured.

    rows: of a samples table, in each of which the zone was measured; machine: as a model file has it.
    """
    n_cpu = rows["n_cpu"].to_numpy(dtype=np.float64)
    most = float((watts_of(rows, zone) / n_cpu).max())
    specified = _specified(machine).get(zone)
    if specified is not None:
        return max(most, specified / float(np.median(n_cpu)))
    load = load_of_rows(rows)
    highest = float(load[np.isfinite(load)].max(initial=0.0)) or 1.0
    return _HEADROOM * most / min(1.0, max(_LEAST_LOAD, highest))


def _specified(machine: Mapping[str, Any]) -> dict[str, float]:
    tdp, sockets = machine.get("tdp_watts"), machine.get("sockets")
    if not tdp or not sockets:
        return {}
    return ceilings(Specification(tdp_watts=tdp / sockets, chips=float(sockets)))
