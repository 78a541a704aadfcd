"""The nearest known name to one that is not known."""

from __future__ import annotations

from collections.abc import Iterable


def nearest(found: str, known: Iterable[str]) -> str:
    """The known name most like the one found, whatever the case; known must not be empty."""
    import difflib  # only after a mistake: start-up does not pay for it

    by_folded = {name.casefold(): name for name in known}
    return by_folded[difflib.get_close_matches(found.casefold(), by_folded, n=1, cutoff=0.0)[0]]
