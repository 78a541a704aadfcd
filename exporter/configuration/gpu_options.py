"""The section of the configuration about GPUs."""

from __future__ import annotations

from dataclasses import dataclass

from exporter.configuration.options import option
from exporter.configuration.value_types import choice, watts


@dataclass(frozen=True, slots=True)
class Gpu:
    """What GPUs draw while they idle, and whose that is."""

    idle_watts: float | None = option(
        "gpu.idleWatts",
        watts(),
        None,
        "Power of each GPU while no process has it",
        default_description="the least that was seen while none had",
    )
    idle_policy: str = option(
        "gpu.idlePolicy",
        choice("reserved", "none"),
        "reserved",
        "Whose the idle energy of a GPU is: the pod's that reserved it, or nobody's",
    )
