"""Our own word why there is no answer."""

from __future__ import annotations

from email.utils import formatdate

from ebpf.errors import PodjouleError
from exporter.serving.page.responses import Response


class BadRequest(PodjouleError):
    """What a client sent is no request for us. status: as "400 Bad Request"."""

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def refusal(status: str, reason: str, *headers: tuple[str, str]) -> Response:
    """A short text instead of a page."""
    safe = ("X-Content-Type-Options", "nosniff")
    return Response(status, f"{status[4:]}: {reason}\n".encode(), headers=(safe, *headers))


def fields(response: Response) -> list[tuple[str, str]]:
    """The header fields that every answer has, whoever wrote it."""
    return [
        ("Content-Type", response.content_type),
        ("Content-Length", str(len(response.body))),
        *response.headers,
        ("Date", formatdate(usegmt=True)),
        ("Server", "podjoule"),
    ]


def last_word(response: Response) -> bytes:
    """A whole answer as bytes, for a client with whom there is no HTTP yet; the connection ends with it."""
    told = [*fields(response), ("Connection", "close")]
    lines = [f"HTTP/1.1 {response.status}", *(f"{name}: {value}" for name, value in told)]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + response.body
