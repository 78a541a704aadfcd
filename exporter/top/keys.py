"""What a terminal sends for a key, and which key that is."""

from __future__ import annotations

import codecs

ESCAPE, ENTER, BACKSPACE, TAB, BACK_TAB = "escape", "enter", "backspace", "tab", "back-tab"
UP, DOWN, LEFT, RIGHT, PAGE_UP, PAGE_DOWN, HOME, END = (
    *("up", "down", "left", "right"),
    *("page-up", "page-down", "home", "end"),
)

# xterm, VT220 and the Linux console; https://invisible-island.net/xterm/ctlseqs/ctlseqs.html
_SEQUENCES = {
    **{
        f"\x1b{start}{letter}": key
        for start in "[O"
        for letter, key in zip("ABCD", (UP, DOWN, RIGHT, LEFT), strict=True)
    },
    **{f"\x1b{start}{letter}": key for start in "[O" for letter, key in (("H", HOME), ("F", END))},
    "\x1b[5~": PAGE_UP,
    "\x1b[6~": PAGE_DOWN,
    "\x1b[Z": BACK_TAB,
    "\x1bOM": ENTER,
    **{f"\x1b[{number}~": key for number, key in ((1, HOME), (7, HOME), (4, END), (8, END))},
}
_CONTROLS = {"\r": ENTER, "\n": ENTER, "\t": TAB, "\x7f": BACKSPACE, "\x08": BACKSPACE}


class KeyReader:
    """Bytes in, keys out: a name from above, or the character itself."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._pending = ""

    @property
    def is_pending(self) -> bool:
        """Whether what came so far may be the beginning of more, or Escape by itself."""
        return bool(self._pending)

    def feed(self, data: bytes) -> list[str]:
        """The keys that are whole."""
        text = self._pending + self._decoder.decode(data)
        keys: list[str] = []
        while text:
            if text[0] == "\x1b":
                length = _sequence_length(text)
                if length is None:
                    break
                keys += [_SEQUENCES[text[:length]]] if text[:length] in _SEQUENCES else []
                # Escape and something that is no sequence: two keys.
                keys += [ESCAPE] if length == 1 else []
                text = text[length:]
                continue
            keys += [_CONTROLS.get(text[0], text[0])] if text[0] in _CONTROLS or text[0].isprintable() else []
            text = text[1:]
        self._pending = text
        return keys

    def flush(self) -> list[str]:
        """Nothing more came for a while: Escape was Escape."""
        pending, self._pending = self._pending, ""
        return [ESCAPE] if pending else []


def _sequence_length(text: str) -> int | None:
    """How long the sequence at the start is; None while it is not whole. ECMA-48, 5.4."""
    if len(text) < 2:
        return None
    if text[1] == "O":
        return 3 if len(text) >= 3 else None
    if text[1] != "[":
        return 1
    for i, each in enumerate(text[2:], 2):
        if "\x40" <= each <= "\x7e":
            return i + 1
        if not "\x20" <= each <= "\x3f":
            return i
    return None
