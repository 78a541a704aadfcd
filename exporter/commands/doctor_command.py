"""`podjoule doctor`: whether `podjoule run` could run here; see exporter.doctor."""

from __future__ import annotations

import os

from exporter.commands.declaration import RUNNING, Command, add_format
from exporter.doctor.doctor import doctor

COMMAND = Command(
    "doctor",
    "say whether the exporter could run here, and what is lost",
    lambda arguments, config: doctor(config, arguments.format, os.environ),
    RUNNING,
    add_format,
)
