"""The web server: cheroot, held to bounded threads, connections and seconds. No other module imports it."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from cheroot import server as http
from cheroot import wsgi

from exporter.listen import open_listener, spell_address

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of us clients can take, by listener.

    request_seconds: from a request's first byte to the response's last. idle_seconds: between requests;
    longer than the usual scrape interval, so that Prometheus keeps its connection. grace_seconds: what
    requests under way get when the server stops.
    """

    threads: int = 4
    connections: int = 128
    request_seconds: float = 10.0
    idle_seconds: float = 75.0
    grace_seconds: float = 0.5
    header_bytes: int = 16_384
    body_bytes: int = 16_384


class Server:
    """Serves one WSGI application on several addresses. `bind`, then `start`, then `stop`.

    Cheroot's threads keep the process alive until `stop`.
    """

    def __init__(
        self, addresses: Sequence[str], application: Callable[..., Any], limits: Limits | None = None
    ) -> None:
        self._addresses = tuple(addresses)
        self._application = application
        self._limits = limits or Limits()
        self._listeners: list[socket.socket] = []
        self._running: list[_Listening] = []
        self._stopping = threading.Event()
        self._reaper = threading.Thread(target=self._reap, name="web-reaper", daemon=True)

    def bind(self) -> None:
        """Take the addresses; raises UsageError and takes none if one cannot be had.

        From here on clients can connect; they are answered once the server is started.
        """
        try:
            for address in self._addresses:
                self._listeners.append(open_listener(address))
        except BaseException:
            self._close_listeners()
            raise

    @property
    def bound(self) -> list[str]:
        """The addresses taken, with the ports that the kernel chose for :0."""
        return [spell_address(listener) for listener in self._listeners]

    def start(self) -> None:
        """Answer requests, in threads of its own."""
        self._running = [
            _Listening(listener, self._application, self._limits) for listener in self._listeners
        ]
        for listening in self._running:
            listening.start_serving()
        self._reaper.start()

    def stop(self) -> None:
        """Stop to listen, let the requests under way end within the grace, and free the addresses."""
        self._stopping.set()
        ends = [threading.Thread(target=listening.stop_serving) for listening in self._running]
        for end in ends:
            end.start()
        for end in ends:
            end.join()
        if self._reaper.is_alive():
            self._reaper.join()
        self._running = []
        self._close_listeners()

    def _reap(self) -> None:
        # Cheroot's own timeout starts anew with each byte: a client could hold a thread as long as it likes.
        limit = self._limits.request_seconds
        while not self._stopping.wait(min(1.0, limit / 2)):
            for listening in self._running:
                listening.drop_older_than(limit)

    def _close_listeners(self) -> None:
        for listener in self._listeners:
            listener.close()
        self._listeners = []


class _Listening(wsgi.Server):  # type: ignore[misc, unused-ignore]
    """Cheroot on a socket that listens already."""

    expiration_interval = 0.25  # how long `stop` may wait for the selector

    def __init__(self, listener: socket.socket, application: Callable[..., Any], limits: Limits) -> None:
        super().__init__(
            listener.getsockname()[:2],
            application,
            numthreads=limits.threads,
            max=limits.threads,
            server_name="podjoule",
            request_queue_size=64,
        )
        self.timeout = limits.idle_seconds
        self.shutdown_timeout = None  # we cut what is left after the grace ourselves
        self.max_request_header_size = limits.header_bytes
        self.max_request_body_size = limits.body_bytes
        self.keep_alive_conn_limit = limits.connections
        self.ConnectionClass = _Connection
        self.limits = limits
        self.open: set[_Connection] = set()
        self._listener = listener
        self._thread = threading.Thread(target=self.serve, name="web-selector", daemon=True)

    def start_serving(self) -> None:
        # Cheroot would serve descriptor 3 instead of our socket where systemd's variable is inherited.
        os.environ.pop("LISTEN_PID", None)
        self.prepare()
        self._thread.start()

    def stop_serving(self) -> None:
        grace = threading.Timer(self.limits.grace_seconds, self.cut_all)
        grace.start()
        self.stop()
        self._thread.join()
        grace.cancel()
        grace.join()

    def drop_older_than(self, seconds: float) -> None:
        """Cut the connections whose request has been under way for longer; their threads come free."""
        now = time.monotonic()
        for connection in tuple(self.open):
            if connection.began is not None and now - connection.began > seconds:
                connection.cut()

    def cut_all(self) -> None:
        for connection in tuple(self.open):
            connection.cut()

    def bind(self, family: int, type: int, proto: int = 0) -> socket.socket:  # noqa: A002, ARG002 - cheroot's names
        self.socket = self._listener
        return self._listener

    def process_conn(self, conn: _Connection) -> None:
        """A connection from the selector: readable, or just accepted and silent until now."""
        if conn.last_used is not None:
            super().process_conn(conn)
        elif len(self.open) > self.limits.connections:
            conn.close()
        else:
            self.put_conn(conn)  # to a thread only once it says something

    def error_log(self, msg: str = "", level: int = logging.INFO, traceback: bool = False) -> None:
        # What clients do wrong is theirs; an exception in the application is ours.
        ours = level >= logging.ERROR
        _LOG.log(level if ours else logging.DEBUG, "web server: %s", msg, exc_info=traceback and ours)


class _Request(http.HTTPRequest):  # type: ignore[misc, unused-ignore]
    def respond(self) -> None:
        # We read no bodies, and what is left of a chunked one would be taken for the next request.
        self.close_connection = self.close_connection or self.chunked_read
        super().respond()


class _Connection(http.HTTPConnection):  # type: ignore[misc, unused-ignore]
    RequestHandlerClass = _Request

    def __init__(self, server: _Listening, sock: socket.socket, makefile: Callable[..., Any]) -> None:
        sock.settimeout(server.limits.request_seconds)
        super().__init__(
            server, sock, lambda *args: _SocketWriter(sock) if "w" in args[1] else makefile(*args)
        )
        self.began: float | None = None
        server.open.add(self)

    def communicate(self) -> bool:
        self.began = time.monotonic()
        try:
            return bool(super().communicate())  # type: ignore[no-untyped-call, unused-ignore]
        finally:
            self.began = None

    def cut(self) -> None:
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            _LOG.debug("web server: the client was faster")

    def close(self) -> None:
        self.server.open.discard(self)
        super().close()


class _SocketWriter:
    """Cheroot's own writer copies what is left of a page each time the kernel takes a part of it."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self.bytes_written = 0

    def write(self, data: bytes) -> int:
        self._sock.sendall(data)
        self.bytes_written += len(data)
        return len(data)
