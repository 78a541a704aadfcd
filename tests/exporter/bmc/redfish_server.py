"""A Redfish service over TLS on loopback, with a vendor's shape, sessions, and what goes wrong on demand."""

from __future__ import annotations

import base64
import json
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from tests.exporter.bmc.vendors import Shape
from tests.exporter.loopback import serving_requests

USER, PASSWORD = "podjoule-reader", "correct-horse-not-for-any-log"
SESSIONS = "/redfish/v1/SessionService/Sessions"


class RedfishServer:
    """watts, kwh: what it shows; `fault`: the status it answers everything with, if not 0.

    most_sessions: it refuses more. takes_sessions: else it has HTTP basic alone. released: cleared, answers
    to GET wait for it.
    """

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.watts, self.kwh = 300.0, 4321.0
        self.fault = 0
        self.takes_sessions, self.most_sessions = True, 4
        self.password = PASSWORD
        self.sessions: dict[str, str] = {}
        self.opened = self.ended = self.refused = 0
        self.asked: list[str] = []
        self.released = threading.Event()
        self.released.set()
        self.url = ""

    def handle(self, request: BaseHTTPRequestHandler) -> None:
        self.asked.append(f"{request.command} {request.path}")
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        if self.fault:
            _answer(request, self.fault, {"error": {"code": "Base.1.0.GeneralError"}})
        elif request.path == SESSIONS and request.command == "POST":
            self._open(request, body)
        elif request.command == "DELETE":
            self._end(request)
        else:
            self.released.wait(60)
            self._show(request)

    def expire(self) -> None:
        """As after its own restart: it knows no session any more."""
        self.sessions.clear()

    def _open(self, request: BaseHTTPRequestHandler, body: bytes) -> None:
        if not self.takes_sessions:
            _answer(request, 404, {})
        elif json.loads(body) != {"UserName": USER, "Password": self.password}:
            self.refused += 1
            _answer(request, 401, {"error": {"message": "wrong"}})
        elif len(self.sessions) >= self.most_sessions:
            _answer(request, 503, {"error": {"code": "Base.1.0.SessionLimitExceeded"}})
        else:
            self.opened += 1
            path = f"{SESSIONS}/{self.opened}"
            self.sessions[path] = f"token-{self.opened}-not-for-any-log"
            headers = {"X-Auth-Token": self.sessions[path], "Location": self.url + path}
            _answer(request, 201, {"@odata.id": path}, headers)

    def _end(self, request: BaseHTTPRequestHandler) -> None:
        if self._may(request) and self.sessions.pop(request.path, None):
            self.ended += 1
            _answer(request, 204, None)
        else:
            _answer(request, 401, {})

    def _show(self, request: BaseHTTPRequestHandler) -> None:
        documents = self.shape(self.watts, self.kwh)
        if request.path != "/redfish/v1/" and not self._may(request):
            _answer(request, 401, {})
        elif request.path not in documents:
            _answer(request, 404, {"error": {"code": "Base.1.0.ResourceMissingAtURI"}})
        else:
            _answer(request, 200, documents[request.path])

    def _may(self, request: BaseHTTPRequestHandler) -> bool:
        if self.takes_sessions:
            return request.headers.get("X-Auth-Token") in self.sessions.values()
        pair = base64.b64encode(f"{USER}:{self.password}".encode()).decode()
        may = request.headers.get("Authorization") == f"Basic {pair}"
        self.refused += not may and "Authorization" in request.headers
        return may


def _answer(
    request: BaseHTTPRequestHandler, status: int, body: object, headers: dict[str, str] | None = None
) -> None:
    content = b"" if body is None else json.dumps(body).encode()
    request.send_response(status)
    for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
        request.send_header(name, value)
    request.end_headers()
    request.wfile.write(content)


@contextmanager
def serving_redfish(shape: Shape, certificate: Path) -> Iterator[RedfishServer]:
    """certificate: with its key, for 127.0.0.1."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server = RedfishServer(shape)
    with serving_requests(server.handle, context) as server.url:
        try:
            yield server
        finally:
            server.released.set()


def wait_until(what: object, seconds: float = 30.0) -> None:
    """what: a function that is true in the end."""
    end = time.monotonic() + seconds
    while not what():  # type: ignore[operator]
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)
