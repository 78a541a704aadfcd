"""What messages say of what was found: the nearest known name, and no more of a text than one can read."""

from __future__ import annotations

from collections.abc import Iterable

_LONGEST = 200


def cut(text: str) -> str:
    """A text that comes from outside, short enough for a message."""
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}… ({len(text)} characters)"


def nearest(found: str, known: Iterable[str]) -> str:
    """The known name most like the one found, whatever the case; known must not be empty."""
    import difflib  # only after a mistake: start-up does not pay for it

    found = found[:_LONGEST]
    by_folded = {name.casefold(): name for name in known}
    return by_folded[difflib.get_close_matches(found.casefold(), by_folded, n=1, cutoff=0.0)[0]]
