"""Power models of machines, in scikit-learn's manner, and the tables they are made from.

    import podjoule

    samples = podjoule.read_samples("samples.parquet")  # or a CSV, or a Prometheus
    model = podjoule.PowerModel().fit(samples)
    model.coefficients_
    model.save("model.json")                            # what `podjoule run --model` reads

`pip install podjoule[train]` brings what this needs: scikit-learn, pandas, pyarrow and matplotlib. All it
does is in the room estimator/; the command line uses the same.
"""

from __future__ import annotations

from ebpf.errors import PodjouleError
from ebpf.version import VERSION as __version__  # noqa: N811
from estimator.errors import ArgumentInvalid, ModelInvalid, ModelUnavailable, SamplesInvalid

try:
    from estimator.library import plots
    from estimator.library.checking import check_samples
    from estimator.library.judging import (
        OnlineCalibration,
        SamplesWarning,
        calibrate_online,
        compare,
        evaluate,
    )
    from estimator.library.reading import read_samples
    from estimator.library.regressor import PowerModel
    from estimator.library.splitting import BlockedSplit
    from estimator.training.diagnosis import importance_by_blocks, learning_curve
    from estimator.training.plausible import Finding
except ModuleNotFoundError as error:
    lacks = (error.name or "").partition(".")[0]
    raise ImportError(
        f"import podjoule needs {lacks}, which is not installed; pip install podjoule[train]"
    ) from error

__all__ = [
    "ArgumentInvalid",
    "BlockedSplit",
    "Finding",
    "ModelInvalid",
    "ModelUnavailable",
    "OnlineCalibration",
    "PodjouleError",
    "PowerModel",
    "SamplesInvalid",
    "SamplesWarning",
    "__version__",
    "calibrate_online",
    "check_samples",
    "compare",
    "evaluate",
    "importance_by_blocks",
    "learning_curve",
    "plots",
    "read_samples",
]
