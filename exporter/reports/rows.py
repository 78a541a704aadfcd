"""One row of an account: the columns of the Parquet files, what each means, and in which order rows stand.

A file holds the rows of one cluster and hour; its path says both (see exporter.reports.months). Rows of an
hour add up, without those of kind `overhead`, to what the meters of its nodes counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from exporter.reports.options import METADATA, Options

if TYPE_CHECKING:
    import pyarrow as pa

Kind = Literal["active", "idle_share", "idle", "unattributed", "difference", "overhead"]
"""active: work caused it.

idle_share: idle energy that a policy gave a workload (`detail` names the policy). idle: idle energy that
nobody was given. unattributed: belongs to nobody (`detail` is the reason). difference: what the node's meters
counted beyond all other rows of the node group (negative where rows say more). overhead: the PUE's part, on
top of all of these.
"""

SCHEMA_VERSION: Final = "podjoule.account/1"
MEASURED: Final = "measured"


@dataclass(frozen=True, slots=True)
class Row:
    """One hour of one workload (or of nobody) on one node group, of one kind and one source.

    hour_seconds: unix time of the hour's begin. node_group, namespace, workload_kind, workload: "" where
    there is none. labels: the chosen labels of the pods, by name. kind, detail: see Kind. late: counted over
    a time in which nobody asked the exporters (Prometheus was down), known from counters that went on, and
    booked when it was seen: its covered_seconds are 0. joules, low_joules, high_joules: energy and its
    bounds. grams: CO2 equivalent, location-based; market_grams: market-based; cost (in `currency`): None
    where nobody said. cpu_seconds: CPU time, None where it is not that of a workload. requested_cpu_seconds:
    what was reserved, None where not known. pods: how many pods, 0 where none. source: "measured:rapl", or
    "model:NAME@SHA256" of what said the joules. covered_seconds: of the hour, how much the samples cover (of
    the node that is covered least, where there are more).
    """

    hour_seconds: int
    node_group: str
    namespace: str
    workload_kind: str
    workload: str
    labels: tuple[tuple[str, str], ...]
    kind: Kind
    detail: str
    late: bool
    joules: float
    low_joules: float
    high_joules: float
    grams: float | None
    market_grams: float | None
    cost: float | None
    currency: str
    cpu_seconds: float | None
    requested_cpu_seconds: float | None
    pods: int
    source: str
    covered_seconds: float


KEY: Final = (
    *("hour_seconds", "node_group", "namespace", "workload_kind", "workload"),
    *("labels", "kind", "detail", "late", "source"),
)
"""No two rows of a file are alike in these; rows stand in their order."""


def schema(options: Options | None = None) -> pa.Schema:
    """The Parquet columns, in order; `labels` is a map of strings. cluster and month come from the path.

    options: how rows were collected, for the file's metadata.
    """
    import pyarrow as pa

    text, number = pa.string(), pa.float64()
    metadata = {"schema": SCHEMA_VERSION} | ({METADATA: options.content} if options else {})
    names = ("node_group", "namespace", "workload_kind", "workload")
    return pa.schema(
        [
            pa.field("hour_seconds", pa.int64(), nullable=False),
            *(pa.field(name, text, nullable=False) for name in names),
            pa.field("labels", pa.map_(text, text), nullable=False),
            *(pa.field(name, text, nullable=False) for name in ("kind", "detail")),
            pa.field("late", pa.bool_(), nullable=False),
            *(pa.field(name, number, nullable=False) for name in ("joules", "low_joules", "high_joules")),
            *(pa.field(name, number) for name in ("grams", "market_grams", "cost")),
            pa.field("currency", text, nullable=False),
            *(pa.field(name, number) for name in ("cpu_seconds", "requested_cpu_seconds")),
            pa.field("pods", pa.int32(), nullable=False),
            pa.field("source", text, nullable=False),
            pa.field("covered_seconds", number, nullable=False),
        ],
        metadata=metadata,
    )
