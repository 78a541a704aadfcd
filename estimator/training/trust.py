"""When the scores of a model on a table are not what they seem."""

from __future__ import annotations

from estimator.model.power_model import PowerModel
from estimator.training.evaluate import Evaluation
from estimator.training.samples import Samples

# More rows than this outside, and the scores are of a guess.
_MANY = 0.1


def doubts(model: PowerModel, samples: Samples, evaluation: Evaluation) -> list[str]:
    """One sentence each: what to know before the scores are believed."""
    found = []
    if samples.sha256 and samples.sha256 == model.training.get("sha256"):
        found.append(
            "these are the rows that it was trained on: they say how well it remembers, not how well it"
            " predicts; judge it on rows recorded later"
        )
    trained, here = set(model.trained_cpus), {int(n_cpu) for n_cpu in samples.frame["n_cpu"]}
    if trained and not here <= trained:
        found.append(
            f"it was made on {_cpus(trained)}, and these rows are of {_cpus(here)}: its watts are scaled by"
            " the CPU, which holds for machines of the same kind alone"
        )
    n_outside, n_rows = int(evaluation.outside.sum()), len(evaluation.outside)
    if n_rows and n_outside > _MANY * n_rows:
        found.append(f"{n_outside} of {n_rows} rows lie outside what it has seen: there it guesses")
    bad = [zone for zone, score in evaluation.scores.items() if (score["r2"] or 0.0) < 0]
    if bad:
        found.append(
            f"R² below 0 for {', '.join(bad)}: the mean of the measured power would predict better; it is not"
            " a model of this machine"
        )
    return found


def _cpus(sizes: set[int]) -> str:
    return f"{' and '.join(map(str, sorted(sizes)))} CPUs"
