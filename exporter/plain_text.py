"""Text for people: what may be shown of a name, cut to its room, and columns side by side."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence

ELLIPSIS = "…"
GAP = "  "


def printable(text: str) -> str:
    """The text without what a terminal would obey: a cgroup may be called anything."""
    return text if text.isprintable() else "".join(each if each.isprintable() else "?" for each in text)


def shortened(text: str, room: int, width: Callable[[str], int] = len) -> str:
    """The two ends of what is too long: they tell paths and ids apart best. width: in the units of room."""
    if width(text) <= room:
        return text
    if room < 2:
        return ELLIPSIS[:room]
    front = _front(text, room // 2, width)
    back = _front(text[::-1], room - width(front) - 1, width)[::-1]
    return f"{front}{ELLIPSIS}{back}"


def aligned(lines: Sequence[Sequence[str]], texts: Container[int] = (0,)) -> str:
    """Columns side by side, as wide as what is in them. texts: those that stand to the left, not right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "".join(
        GAP.join(
            cell.ljust(width) if i in texts else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        + "\n"
        for line in lines
    )


def _front(text: str, room: int, width: Callable[[str], int]) -> str:
    front = text[:room]
    while width(front) > room:
        front = front[:-1]
    return front
