"""The samples table: checked row by row, what cannot be set aside and counted."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from estimator.features import PREDICTORS
from estimator.meters.port import ZONES
from estimator.training.impossible import set_aside
from estimator.training.tables import files_of, read_table, readable


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many CPUs a node has in its rows, of those set aside too.

    rows: by number of CPUs. changes: how often it is another than in the row before.
    """

    rows: Mapping[int, int]
    changes: int


@dataclass(frozen=True, slots=True)
class Samples:
    """The usable rows in the order of time, node after node.

    frame: REQUIRED of tables.py, features and <zone>_joules as float64, NaN for what is not measured, node as
    text. features, zones: those with a measurement in some row. set_aside: rows left out, by reason. source:
    the files; sha256: of the file, or of all the files' hashes where there are several. sizes: by node.
    """

    frame: pd.DataFrame
    features: tuple[str, ...]
    zones: tuple[str, ...]
    set_aside: Mapping[str, int]
    source: str
    sha256: str
    sizes: Mapping[str, Sizes] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.frame)

    def rows(self, which: npt.NDArray[np.intp]) -> pd.DataFrame:
        """Some of the rows, by position."""
        return self.frame.iloc[which]

    def watts(self, zone: str) -> npt.NDArray[np.float64]:
        """The zone's measured power in each row, NaN where it was not; shape (n,)."""
        return watts_of(self.frame, zone)


def watts_of(frame: pd.DataFrame, zone: str) -> npt.NDArray[np.float64]:
    """A zone's measured power in each row of a samples table, NaN where it was not; shape (n,)."""
    joules = frame[f"{zone}_joules"].to_numpy(dtype=np.float64)
    return np.asarray(joules / frame["interval_seconds"].to_numpy(dtype=np.float64))


def read_samples(paths: Sequence[Path]) -> Samples:
    """Read tables (CSV or Parquet; a directory stands for the node tables of a recording) into one.

    Raises SamplesInvalid, naming the file, for what cannot be read or lacks a column.
    """
    files = [file for path in paths for file in files_of(path)]
    frame = pd.concat([read_table(file) for file in files], ignore_index=True)
    return _checked(frame, ", ".join(map(str, paths)), sha256_of(files))


def clean_samples(frame: pd.DataFrame, source: str = "frame", sha256: str = "") -> Samples:
    """The same for a table that is in memory already. Raises SamplesInvalid where a column lacks."""
    return _checked(readable(frame, source), source, sha256)


def _checked(frame: pd.DataFrame, source: str, sha256: str) -> Samples:
    """The rows that can be, of a table of numbers; what stood there and was none is infinite."""
    table = frame.reset_index(drop=True)
    # A zone that never shows any energy is not measured, whatever the column says.
    joules = {zone: table[f"{zone}_joules"] for zone in ZONES if f"{zone}_joules" in table}
    zones = [zone for zone, column in joules.items() if (column > 0).any()]
    table = table.sort_values(["node", "timestamp_seconds"], kind="stable")
    kept, counts = set_aside(table, zones)
    features = tuple(name for name in PREDICTORS if name in kept and kept[name].notna().any())
    measured = tuple(zone for zone in zones if kept[f"{zone}_joules"].notna().any())
    sizes = {str(node): _sizes(n_cpu) for node, n_cpu in table.groupby("node")["n_cpu"]}
    return Samples(kept.reset_index(drop=True), features, measured, counts, source, sha256, sizes)


def _sizes(n_cpu: pd.Series) -> Sizes:
    told = n_cpu[np.isfinite(n_cpu) & (n_cpu >= 1)].astype(np.int64)
    rows = {int(size): int(count) for size, count in told.value_counts(sort=False).sort_index().items()}
    return Sizes(rows, int((told.diff().fillna(0) != 0).sum()))


def sha256_of(files: Sequence[Path]) -> str:
    """Of a file, or of the hashes of several."""
    hashes = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()
