"""The one door to pyarrow, which only recording and replaying need: the exporter runs without it."""

from __future__ import annotations

from ebpf.errors import UsageError

try:
    import pyarrow as pa
    import pyarrow.parquet as pq
except ImportError as error:
    raise UsageError(
        f"recordings are Parquet files, and pyarrow is not installed ({error}): pip install podjoule[train]"
    ) from error

__all__ = ["UNREADABLE", "pa", "pq"]

UNREADABLE = (pa.ArrowException, OSError, ValueError, KeyError)
"""What pyarrow raises for a file that is torn, no Parquet at all, or cannot be read or written."""
