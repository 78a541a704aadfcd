"""Lines of styled text, and what may stand in them."""

from __future__ import annotations

from exporter.plain_text import printable

# Pieces with their styles, in textual's words. They may hold anything, also what a terminal would obey.
Line = tuple[tuple[str, str], ...]

TITLE, DIM, KEY, FIGURE = "bold", "dim", "bold $secondary", "$secondary"
GOOD, WARN, BAD = "$success", "bold $warning", "bold $error"


def plain(line: Line) -> str:
    """The text alone."""
    return "".join(printable(text) for text, _ in line)
