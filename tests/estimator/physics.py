"""How far off the estimator is on machines of known joules: `python -m tests.estimator.physics`.

    python -m tests.estimator.physics [--seeds N] [--first-seed N] [--json FILE] [SCENARIO...]

One row a scenario and zone, the mean over the seeds: the error, Σ|found - true| / Σ true over containers, and
its maximum; the worst container of more than a tenth of the mean; the level, found over true active energy;
what a glitch of the meter moved; true active power, and idle power found and true, of a socket; the methods
in force at the end. The scenarios are those of tests/estimator/plant/scenarios.py.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tests.estimator.plant.plant import INTERVAL_SECONDS, ZONES
from tests.estimator.plant.scenarios import SCENARIOS, Outcome, enact

# The share by which all containers together may be off in the package; in DRAM twice that.
WANTED = {
    "plain": 0.035,
    "package sleeps": 0.04,
    "SMT": 0.045,
    "clock by core": 0.045,
    "all three": 0.06,
    "never idles, idle known": 0.09,
    "idle + 26 W": 0.05,
}
_HEADER = f"{'scenario':36} {'zone':8}" + "".join(
    f"{title:>9}"
    for title in ("error %", "most %", "worst %", "level %", "glitch %", "active W", "idle W", "true W")
)


def main(arguments: Sequence[str]) -> int:
    """Print the table; 2 for a scenario that is not there."""
    parser = argparse.ArgumentParser(description="Error of attribution on machines of known joules.")
    parser.add_argument("scenario", nargs="*", help="by name, all if none is given")
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="where to write those of WANTED, for notebook 2")
    asked = parser.parse_args(arguments)
    if unknown := set(asked.scenario) - SCENARIOS.keys():
        sys.stderr.write(f"no such scenario: {', '.join(unknown)}; there are {', '.join(SCENARIOS)}\n")
        return 2
    print(_HEADER, " methods")
    found: list[dict[str, object]] = []
    for name in asked.scenario or (WANTED if asked.json else SCENARIOS):
        began = time.process_time()
        seeds = range(asked.first_seed, asked.first_seed + asked.seeds)
        outcomes = [enact(SCENARIOS[name], seed) for seed in seeds]
        for zone in ZONES:
            print(row(name, zone, outcomes))
            if name in WANTED:
                error = 100 * float(np.mean([outcome.run.error(zone, outcome.since) for outcome in outcomes]))
                wanted = 100 * WANTED[name] * (1 if zone == "package" else 2)
                found.append({"physics": name, "zone": zone, "error": round(error, 2), "wanted": wanted})
        print(f"{'':36} {time.process_time() - began:.1f} s", file=sys.stderr, flush=True)
    if asked.json:
        asked.json.write_text(json.dumps({"seeds": asked.seeds, "rows": found}, indent=1) + "\n")
    return 0


def row(name: str, zone: str, outcomes: Sequence[Outcome]) -> str:
    """One line of the table."""
    figures = np.array([_figures(zone, outcome) for outcome in outcomes])
    most, mean = figures[:, 0].max(), figures.mean(axis=0)
    methods = sorted(set().union(*(_methods(zone, outcome) for outcome in outcomes)))
    columns = "".join(f"{figure:9.1f}" for figure in (mean[0], most, *mean[1:]))
    return f"{name:36} {zone:8}{columns}  {', '.join(methods)}"


def _figures(zone: str, outcome: Outcome) -> list[float]:
    run, since = outcome.run, outcome.since
    shares = [run.error(zone, since), run.worst(zone, since), run.level(zone, since)]
    shares += [0.0 if outcome.without is None else run.moved(outcome.without, zone, since)]
    found, true = run.idle_watts[zone], run.true_idle_watts[zone]
    active = run.true[zone][since:].sum(axis=1).mean() / INTERVAL_SECONDS / true.shape[1]
    return [*(100 * share for share in shares), active, np.nanmean(found[since:]), true[since:].mean()]


def _methods(zone: str, outcome: Outcome) -> set[str]:
    return {status.method for status in outcome.run.statuses[-1] if status.zone == zone}


if __name__ == "__main__":
    logging.disable(logging.ERROR)  # what the meter's faults have the estimator say
    sys.exit(main(sys.argv[1:]))
