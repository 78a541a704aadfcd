"""Tables of what was left out, for notebooks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from estimator.model.process import PowerProcess
from estimator.training.curves.scores import LeftOut, covered, held_out_scores, percentages
from estimator.training.curves.specpower import Server


def servers_frame(servers: Sequence[Server]) -> pd.DataFrame:
    """One row a result: CPU, family, year, TDP, and watts of one chip's share."""
    return pd.DataFrame(
        {
            "cpu": [server.cpu for server in servers],
            "family": [server.specification.family for server in servers],
            "published": [server.published for server in servers],
            "tdp_watts": [server.specification.tdp_watts for server in servers],
            "idle_watts": [server.idle_watts for server in servers],
            "full_watts": [server.full_watts for server in servers],
        }
    )


def by_knowledge(left_out: LeftOut) -> pd.DataFrame:
    """One row for each that asks; percent."""
    return pd.DataFrame(held_out_scores(left_out)).T


def by_family(left_out: LeftOut) -> pd.DataFrame:
    """One row a family with results since 2021: medians of errors and coverage, percent, as a host."""
    inside, errors = covered(left_out, "specified"), left_out.errors["specified"]
    rows = {}
    for family in np.unique(left_out.families[left_out.recent]):
        of = left_out.recent & (left_out.families == family)
        rows[family] = {
            "machines": int(of.sum()),
            "idle": percentages(errors[of, 0])[0],
            "full": percentages(errors[of, 1])[0],
            "idle within bounds": 100 * inside[of, 0].mean(),
            "full within bounds": 100 * inside[of, 1].mean(),
        }
    return pd.DataFrame(rows).T.round(1)


def estimates_of(process: PowerProcess, servers: Sequence[Server]) -> pd.Series:
    """What a process says of machines, idle and full watts of the whole machine, beside what they draw."""
    said = [process.watts_per_chip(server.specification) for server in servers]
    return pd.Series(
        {
            f"{server.cpu}, host {at}": f"{idle * chips:.0f} of {server.idle_watts * chips:.0f} W idle, "
            f"{full * chips:.0f} of {server.full_watts * chips:.0f} W full"
            for at, (server, (idle, full)) in enumerate(zip(servers, said, strict=True), 1)
            for chips in [server.specification.chips or 1.0]
        }
    )
