"""The check of where virtual machines are told their energy; made where that is asked for."""

from __future__ import annotations

import os
from pathlib import Path

from exporter.doctor.finding import Check
from exporter.guests.emulators import running


def check_guests(directory: Path, procfs: Path) -> Check:
    """Trees can be written to a directory, and machines be told apart."""
    place = next(path for path in (directory, *directory.absolute().parents) if path.exists())
    if not place.is_dir() or not os.access(place, os.W_OK):
        mend = "make it a directory that podjoule may write to"
        return Check("guests", "warn", f"{place} may not be written: machines are told nothing", mend)
    uuids = {emulator.uuid for emulator in running(procfs)}
    return Check("guests", "ok", f"{directory}, machines with a UUID that run now: {len(uuids)}")
