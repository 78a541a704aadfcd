"""The provider's secret, from a file that may be replaced while we run."""

from __future__ import annotations

from pathlib import Path

from exporter.errors import GridError

_MAX_TOKEN_BYTES = 16 * 1024


def read_token(path: Path | None) -> str:
    """What the token file holds by now; empty without a file. Raises GridError, which shows none of it."""
    if path is None:
        return ""
    try:
        with path.open("rb") as file:
            token = file.read(_MAX_TOKEN_BYTES).decode("utf-8").strip()
    except (OSError, ValueError) as error:
        raise GridError("token", f"carbon.tokenFile {path}: cannot be read: {type(error).__name__}") from None
    if not token or (":" not in token and not is_sendable(token)):
        raise GridError(
            "token", f"carbon.tokenFile {path}: wanted one line with the token, found something else"
        )
    return token


def is_sendable(token: str) -> bool:
    """Whether it can stand in a header."""
    return bool(token) and token.isascii() and token.isprintable() and " " not in token
