"""The headers that a push carries, from a file that may be replaced while we run."""

from __future__ import annotations

import re
from pathlib import Path

from exporter.otlp.outcome import PushFailed

_MAX_BYTES = 64 * 1024
# Source: RFC 9110, sections 5.1 and 5.5.
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e\t]*[\x21-\x7e])?")


def read_headers(path: Path | None) -> dict[str, str]:
    """A line `name: value` each; empty lines and those with # in front are passed over. None without a file.

    Raises PushFailed, which names the line and shows none of it.
    """
    if path is None:
        return {}
    try:
        with path.open("rb") as file:
            lines = file.read(_MAX_BYTES).decode("ascii").splitlines()
    except (OSError, ValueError) as error:
        raise PushFailed(
            "headers", f"otlp.headersFile {path}: cannot be read: {type(error).__name__}"
        ) from None
    pairs = [
        _pair(path, number, line)
        for number, line in enumerate(lines, 1)
        if line.strip() and not line.startswith("#")
    ]
    return dict(pairs)


def _pair(path: Path, number: int, line: str) -> tuple[str, str]:
    name, _, value = (part.strip() for part in line.partition(":"))
    if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
        raise PushFailed("headers", f"otlp.headersFile {path}, line {number}: wanted `name: value` in ASCII")
    return name, value
