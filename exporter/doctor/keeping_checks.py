"""Checks of where counts and counters outlive the process; made where that is asked for."""

from __future__ import annotations

import os
from pathlib import Path

from ebpf.pins import MEND, check_directory, layouts
from exporter.doctor.finding import Check


def check_pins(directory: Path) -> Check:
    """Programs and counts can be pinned in a directory."""
    refused = check_directory(directory)
    if refused:
        mend = f"{MEND}, and name a directory below it that root may write"
        return Check("pins", "warn", f"{refused}: counting ends with podjoule", mend)
    found = layouts(directory)
    return Check("pins", "ok", f"{directory}/{found[0]}" if found else f"{directory}, nothing pinned yet")


def check_state(directory: Path) -> Check:
    """Counters can be kept in a directory."""
    place = next(path for path in (directory, *directory.absolute().parents) if path.exists())
    if not place.is_dir() or not os.access(place, os.W_OK):
        mend = "make it a directory that podjoule may write to"
        return Check(
            "state", "warn", f"{place} may not be written: counters begin at 0 after a restart", mend
        )
    return Check("state", "ok", str(directory))
