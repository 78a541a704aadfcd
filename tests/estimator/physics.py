"""How far off the estimator is on machines of known joules: `python -m tests.estimator.physics`.

    python -m tests.estimator.physics [--seeds N] [SCENARIO...]

One row a scenario and zone, the mean over the seeds: the error, Σ|found - true| / Σ true over containers, and
its maximum; the worst container of more than a tenth of the mean; the level, found over true active energy;
idle power found and true; the methods in force at the end. The scenarios are those of
tests/estimator/plant/scenarios.py.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence

import numpy as np

from tests.estimator.plant.plant import ZONES
from tests.estimator.plant.scenarios import SCENARIOS, Outcome, play

_HEADER = f"{'scenario':36} {'zone':8}" + "".join(
    f"{title:>8}" for title in ("error %", "most %", "worst %", "level %", "idle W", "true W")
)


def main(arguments: Sequence[str]) -> int:
    """Print the table; 2 for a scenario that is not there."""
    parser = argparse.ArgumentParser(description="Error of attribution on machines of known joules.")
    parser.add_argument("scenario", nargs="*", help="by name, all if none is given")
    parser.add_argument("--seeds", type=int, default=6)
    asked = parser.parse_args(arguments)
    if unknown := set(asked.scenario) - SCENARIOS.keys():
        sys.stderr.write(f"no such scenario: {', '.join(unknown)}; there are {', '.join(SCENARIOS)}\n")
        return 2
    print(_HEADER, " methods")
    for name in asked.scenario or SCENARIOS:
        began = time.process_time()
        outcomes = [play(name, seed) for seed in range(asked.seeds)]
        for zone in ZONES:
            print(row(name, zone, outcomes))
        print(f"{'':36} {time.process_time() - began:.1f} s", file=sys.stderr, flush=True)
    return 0


def row(name: str, zone: str, outcomes: Sequence[Outcome]) -> str:
    """One line of the table."""
    errors, worst, levels, found, true = (
        np.array(values) for values in zip(*(_figures(zone, outcome) for outcome in outcomes), strict=True)
    )
    methods = sorted(set().union(*(_methods(zone, outcome) for outcome in outcomes)))
    figures = f"{errors.mean():8.1f}{errors.max():8.1f}{worst.mean():8.1f}{levels.mean():+8.1f}"
    return f"{name:36} {zone:8}{figures}{found.mean():8.1f}{true.mean():8.1f}  {', '.join(methods)}"


def _figures(zone: str, outcome: Outcome) -> tuple[float, float, float, float, float]:
    run, since = outcome.run, outcome.since
    found, true = (float(np.nanmean(watts[since:])) for watts in run.idle_watts(zone))
    shares = run.error(zone, since), run.worst(zone, since), run.level(zone, since)
    return *(100 * share for share in shares), found, true


def _methods(zone: str, outcome: Outcome) -> set[str]:
    return {status.method for status in outcome.run.statuses[-1] if status.zone == zone}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
