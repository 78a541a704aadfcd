"""Hours of UTC: which of a range are over, and what a range is given as."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from ebpf.errors import UsageError

HOUR_SECONDS: Final = 3600
SETTLED_SECONDS: Final = 600
"""So long after its end an hour's samples have all come in: until then it is not collected."""


def parse_hour(text: str, flag: str) -> int:
    """The unix time of a day or an hour: 2026-10-01, 2026-10-01T05:00, with Z or an offset; UTC without.

    Raises UsageError.
    """
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"{flag}: found {text!r}; wanted a day or an hour of UTC, such as 2026-10-01 or 2026-10-01T05:00"
        ) from None
    seconds = (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    if seconds % HOUR_SECONDS:
        raise UsageError(
            f"{flag}: found {text!r}, which is within an hour; wanted the begin of one, such as 05:00"
        )
    return int(seconds)


def is_over(hour: int, now: float) -> bool:
    """Whether it can be collected."""
    return hour + HOUR_SECONDS + SETTLED_SECONDS <= now


def hours_of(begin: int, end: int, now: float) -> tuple[list[int], int]:
    """The hours from begin to end that are over, and how many are not yet.

    Raises UsageError for an empty range.
    """
    if begin >= end:
        raise UsageError(
            f"--from {spelt(begin)} is not before --to {spelt(end)}; --to is the first hour that is left out"
        )
    over = [hour for hour in range(begin, end, HOUR_SECONDS) if is_over(hour, now)]
    return over, (end - begin) // HOUR_SECONDS - len(over)


def spelt(hour: int) -> str:
    """An hour as people write it."""
    return f"{datetime.fromtimestamp(hour, UTC):%Y-%m-%dT%H:%MZ}"


def spelt_all(hours: list[int], most: int = 5) -> str:
    """Hours in their order, those that follow each other as from … to; of many the first ones."""
    runs: list[list[int]] = []
    for hour in hours:
        if runs and hour == runs[-1][-1] + HOUR_SECONDS:
            runs[-1].append(hour)
        else:
            runs.append([hour])
    texts = [spelt(run[0]) if len(run) == 1 else f"{spelt(run[0])} to {spelt(run[-1])}" for run in runs]
    rest = f" and {len(texts) - most} more" if len(texts) > most else ""
    return ", ".join(texts[:most]) + rest
