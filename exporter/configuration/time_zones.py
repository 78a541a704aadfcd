"""Time zones by name."""

from __future__ import annotations

from datetime import UTC, tzinfo


def find_zone(name: str) -> tzinfo:
    """A time zone of the IANA database. UTC needs no database. Raises ValueError for an unknown one."""
    if name == "UTC":
        return UTC
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError  # costs start-up time, and most need UTC alone

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, OSError, ValueError):
        raise ValueError(
            "no such name in this machine's time zone database; the package tzdata brings it"
        ) from None
