"""The samples table (DESIGN section 6): read, checked row by row, what cannot be set aside and counted."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from ebpf.errors import UsageError
from estimator.meters.port import ZONES
from estimator.training.impossible import set_aside

FEATURE_UNITS = {"cpu_seconds": "s", "cycles": "1", "instructions": "1", "cache_misses": "1"}
REQUIRED = ("timestamp_seconds", "node", "interval_seconds", "n_cpu")


@dataclass(frozen=True, slots=True)
class Samples:
    """The usable rows in the order of time, node after node.

    frame: the columns of DESIGN section 6 as float64, NaN for what is not measured, node as text. features,
    zones: those with a measurement in some row. set_aside: rows left out, by reason. source: the files;
    sha256: of the file, or of all the files' hashes where there are several.
    """

    frame: pd.DataFrame
    features: tuple[str, ...]
    zones: tuple[str, ...]
    set_aside: Mapping[str, int]
    source: str
    sha256: str

    def __len__(self) -> int:
        return len(self.frame)

    def rows(self, which: npt.NDArray[np.intp]) -> pd.DataFrame:
        """Some of the rows, by position."""
        return self.frame.iloc[which]

    def watts(self, zone: str) -> npt.NDArray[np.float64]:
        """The zone's measured power in each row, NaN where it was not; shape (n,)."""
        joules = self.frame[f"{zone}_joules"].to_numpy(dtype=np.float64)
        return np.asarray(joules / self.frame["interval_seconds"].to_numpy(dtype=np.float64))


def read_samples(paths: Sequence[Path], max_hertz: float | None = None) -> Samples:
    """Read tables (CSV or Parquet; a directory stands for the node tables of a recording) into one.

    max_hertz: the highest possible clock, if it is known better than impossible.MAX_HERTZ. Raises UsageError,
    naming the file, for what cannot be read or lacks a column.
    """
    files = [file for path in paths for file in _files(path)]
    frame = pd.concat([_read(file) for file in files], ignore_index=True)
    return clean_samples(frame, ", ".join(map(str, paths)), _sha256(files), max_hertz)


def clean_samples(
    frame: pd.DataFrame, source: str = "frame", sha256: str = "", max_hertz: float | None = None
) -> Samples:
    """The same for a table that is in memory already. Raises UsageError where a column lacks."""
    _require(frame, source)
    frame = frame.reset_index(drop=True)
    zones = [zone for zone in ZONES if f"{zone}_joules" in frame]
    numbers = ["interval_seconds", "timestamp_seconds", "n_cpu", *(f"{zone}_joules" for zone in zones)]
    numbers += [name for name in FEATURE_UNITS if name in frame]
    table = frame[["node"]].astype(str).join(frame[numbers].apply(pd.to_numeric, errors="coerce"))
    table = table.astype(dict.fromkeys(numbers, np.float64))
    # A zone that never shows any energy is not measured, whatever the column says.
    zones = [zone for zone in zones if (table[f"{zone}_joules"] > 0).any()]
    unreadable = (table[numbers].isna() & frame[numbers].notna()).any(axis=1)
    table = table.sort_values(["node", "timestamp_seconds"], kind="stable")
    kept, counts = set_aside(table, unreadable, zones, max_hertz)
    features = tuple(name for name in FEATURE_UNITS if name in kept and kept[name].notna().any())
    measured = tuple(zone for zone in zones if kept[f"{zone}_joules"].notna().any())
    return Samples(kept.reset_index(drop=True), features, measured, counts, source, sha256)


def _files(path: Path) -> list[Path]:
    """The files of a directory: a recording's node tables, or else all its tables."""
    if not path.is_dir():
        return [path]
    found = sorted(path.glob("samples*.parquet")) or sorted([*path.glob("*.parquet"), *path.glob("*.csv")])
    if not found:
        raise UsageError(f"table {path}: wanted CSV or Parquet files, found none; record some first")
    return found


def _read(path: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
    except (OSError, ValueError) as error:  # pandas' and pyarrow's errors are ValueErrors or OSErrors
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> UsageError:
    reason = " ".join(str(error).split())
    return UsageError(f"table {path} cannot be read: {reason}; give a CSV or Parquet samples table")


def _require(frame: pd.DataFrame, source: str) -> None:
    missing = [name for name in REQUIRED if name not in frame]
    if missing:
        raise UsageError(
            f"table {source}: no column {', '.join(missing)}; DESIGN section 6 lists what belongs in it"
        )
    if not any(name in frame for name in FEATURE_UNITS):
        raise UsageError(
            f"table {source}: no feature among {', '.join(FEATURE_UNITS)}; nothing to predict from"
        )


def _sha256(files: Sequence[Path]) -> str:
    hashes = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()
