"""Text in a terminal's cells: how wide it is, cut to fit, and lines of styled pieces."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

ELLIPSIS = "…"

# Style to SGR parameters (ECMA-48, 8.3.117), with colour and without it (https://no-color.org).
_STYLES = {
    "": ("", ""),
    "title": ("1", "1"),
    "head": ("1", "1"),
    "sorted": ("1;4", "1;4"),
    "selected": ("7", "7"),
    "dim": ("2", "2"),
    "good": ("32", ""),
    "warn": ("33", "1"),
    "bad": ("1;31", "1"),
    "key": ("1;36", "1"),
    "watts": ("36", ""),
}


@dataclass(frozen=True, slots=True)
class Piece:
    """Some text in one style of _STYLES; it may hold anything, also what a terminal would obey."""

    text: str
    style: str = ""


Line = tuple[Piece, ...]


def printable(text: str) -> str:
    """The text without what a terminal would obey: a cgroup may be called anything."""
    return text if text.isprintable() else "".join(each if each.isprintable() else "?" for each in text)


def width(text: str) -> int:
    """The cells that a text takes."""
    return len(text) if text.isascii() else sum(map(_cells, text))


def shortened(text: str, room: int) -> str:
    """The two ends of what is too long: they tell paths and ids apart best."""
    if width(text) <= room:
        return text
    if room < 2:
        return ELLIPSIS[:room]
    front = _front(text, room // 2)
    back = _front(text[::-1], room - width(front) - 1)[::-1]
    return f"{front}{ELLIPSIS}{back}"


def padded(text: str, room: int, right: bool = False) -> str:
    """The text cut or filled to exactly so many cells."""
    cut = shortened(text, room)
    fill = " " * (room - width(cut))
    return fill + cut if right else cut + fill


def clipped(line: Iterable[Piece], room: int) -> Line:
    """The pieces that fit; the one that does not fit is cut at its end."""
    kept: list[Piece] = []
    for piece in line:
        text = printable(piece.text)
        if width(text) > room:
            text = _front(text, max(0, room - 1)) + ELLIPSIS[: max(0, room)]
            kept.append(Piece(text, piece.style))
            break
        kept.append(Piece(text, piece.style))
        room -= width(text)
    return tuple(kept)


def painted(line: Line, coloured: bool) -> str:
    """The line as a terminal wants it."""
    parts = []
    for piece in line:
        codes = _STYLES[piece.style][0 if coloured else 1]
        parts.append(f"\x1b[{codes}m{piece.text}\x1b[m" if codes and piece.text else piece.text)
    return "".join(parts)


def plain(line: Line) -> str:
    """The text alone."""
    return "".join(printable(piece.text) for piece in line)


def _front(text: str, room: int) -> str:
    taken = 0
    for i, each in enumerate(text):
        taken += _cells(each)
        if taken > room:
            return text[:i]
    return text


def _cells(character: str) -> int:
    # Unicode's TR11; what a combining mark stands on has its cell already.
    if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
