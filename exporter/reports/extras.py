"""The libraries of the extras `report` and `report-spark`, and what to say where one is missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ebpf.errors import UsageError

_OF_THE_EXTRAS = {
    **dict.fromkeys(("ibis", "duckdb", "pyarrow", "fsspec", "tqdm"), "report"),
    **dict.fromkeys(("pyspark", "pandas", "py4j"), "report-spark"),
}


@contextmanager
def libraries_installed() -> Iterator[None]:
    """Turn a missing library into an error that names the mend."""
    try:
        yield
    except ModuleNotFoundError as error:
        name = (error.name or "").partition(".")[0]
        if name not in _OF_THE_EXTRAS:
            raise
        raise UsageError(
            f"reports need {name}, which is not installed; pip install podjoule[{_OF_THE_EXTRAS[name]}]"
        ) from error
