"""`podjoule report`: a cluster's months as accounts that add up."""

from __future__ import annotations

from exporter.commands import report_close, report_collect, report_show
from exporter.commands.declaration import CommandGroup

COMMAND = CommandGroup(
    "report",
    "make accounts of a cluster's months",
    (report_collect.COMMAND, report_close.COMMAND, report_show.COMMAND),
)
