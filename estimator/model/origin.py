"""The machine that a model was made on, as its file says it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from estimator.machine.description import describe
from estimator.machine.identity import read_identity, recognise
from estimator.machine.size import read_size
from estimator.machine.topology import read_topology


def this_machine(procfs: Path, sysfs: Path) -> dict[str, Any]:
    """What is known of the machine that we run on; see UNKNOWN_MACHINE of the room that trains."""
    identity = read_identity(procfs)
    recognition = recognise(identity)
    told = {
        "vendor": identity.vendor or None,
        "family": identity.family,
        "model": identity.model,
        "microarchitecture": recognition.name if recognition.exact else None,
        "cpu": identity.model_name or None,
    }
    size = read_size(sysfs, procfs, identity, read_topology(sysfs))
    of = describe(identity, size).specification
    if identity.is_guest or of.chips is None or of.cores_per_chip is None:
        return told
    return {
        **told,
        "sockets": int(of.chips),
        "cores": round(of.cores_per_chip * of.chips),
        "tdp_watts": None if of.tdp_watts is None else of.tdp_watts * of.chips,
    }
