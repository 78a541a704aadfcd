"""What the exporter logged, and which of it was to be expected of the trouble that it was given."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

_TEXT = re.compile(r"\S+Z (debug|info|warning|error|critical) (\S+) (.*)", re.DOTALL)
_QUIET = ("debug", "info")

EXPECTED = {
    "meter": r"\S+: (energy_uj (failed|is gone): .*|gap, its energy is not counted: .*"
    r"|(stands still|reads less than .*): what it drew is told once it goes on)",
    "disk": r"counters are not kept for the next start: \S+/ledger\.state: .*No space left on device.*"
    r"|the calibration is not saved: .*No space left on device.*",
    "configuration": r"the configuration is not reread, the old one stays: .*"
    r"|(web\.maxRequests) has changed: it takes effect at a restart",
    "api server": r"the API server, for node soak: .*",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """level, component: as logged; "" where it is no line of the log's. more: lines after it, a traceback."""

    level: str
    component: str
    message: str
    more: tuple[str, ...] = ()

    @property
    def expected(self) -> str:
        """By whose trouble it was to be expected, "" if by nobody's."""
        if self.level in _QUIET:
            return "quiet"
        found = (who for who, pattern in EXPECTED.items() if re.fullmatch(pattern, self.message, re.DOTALL))
        return "" if self.more else next(found, "")

    def __str__(self) -> str:
        return " … ".join((self.message, *self.more[-1:]))


def entries(files: Iterable[Path]) -> Iterator[Entry]:
    """All of the files."""
    for file in files:
        found: list[Entry] = []
        for line in file.read_text(errors="backslashreplace").splitlines():
            if entry := _parsed(line):
                found.append(entry)
            elif found:
                found[-1] = replace(found[-1], more=(*found[-1].more, line))
            else:
                found.append(Entry("", "", line))
        yield from found


def _parsed(line: str) -> Entry | None:
    if line.startswith('{"time"'):
        found = json.loads(line)
        return Entry(found["level"], found["component"], found["message"])
    match = _TEXT.fullmatch(line)
    return Entry(*match.groups()) if match else None
