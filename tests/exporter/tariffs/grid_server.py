"""A provider of grid data on loopback that answers, or misbehaves, as a test says."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.exporter.loopback import serving_requests


@dataclass
class Answer:
    """What is sent; `body` is JSON unless it is bytes, a raw answer replaces the whole of it."""

    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None


@dataclass(frozen=True)
class Asked:
    """headers: by their names in small letters."""

    path: str
    headers: dict[str, str]


class GridServer:
    """`answer` is called for each request, in a thread of its own, and may block on `released`."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.answer: Callable[[Asked], Answer] = lambda _: Answer({})
        self.released = threading.Event()
        self.url = ""

    def says(self, body: Any, status: int = 200, **headers: str) -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answer = lambda _: Answer(body, status, named)

    def handle(self, request: BaseHTTPRequestHandler) -> None:
        asked = Asked(request.path, {name.lower(): value for name, value in request.headers.items()})
        self.asked.append(asked)
        answer = self.answer(asked)
        if answer.raw is not None:
            request.wfile.write(answer.raw)
            request.close_connection = True
            return
        body = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
        request.send_response(answer.status)
        for name, value in {"Content-Length": str(len(body)), **answer.headers}.items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(body)


@contextmanager
def serving(context: ssl.SSLContext | None = None) -> Iterator[GridServer]:
    """A server on a port of its own, with TLS where a context is given."""
    grid = GridServer()
    # Tests put another `handle` in its place meanwhile: it is looked up at each request.
    with serving_requests(lambda request: grid.handle(request), context) as grid.url:  # noqa: PLW0108
        try:
            yield grid
        finally:
            grid.released.set()
