"""Which life of the machine this is: what the kernel counted before a reboot is gone."""

from __future__ import annotations

from pathlib import Path


def boot_id(procfs: Path) -> str:
    """The kernel's random name of this boot; empty where procfs does not tell. Source: random(4)."""
    try:
        return (procfs / "sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
