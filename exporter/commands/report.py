"""`podjoule report`: a cluster's months, from counters to accounts."""

from __future__ import annotations

from exporter.commands import report_collect
from exporter.commands.declaration import CommandGroup

COMMAND = CommandGroup(
    "report", "a cluster's months of energy, carbon and cost, from a Prometheus", (report_collect.COMMAND,)
)
