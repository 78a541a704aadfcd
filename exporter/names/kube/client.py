"""Asking the API server or a kubelet over HTTP, so that it can be interrupted at any time."""

from __future__ import annotations

import array
import contextlib
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fcntl import ioctl
from pathlib import Path
from termios import FIONREAD
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from exporter.http_client import Limits, Tls, open_manager, pieces, reason, send
from exporter.names.kube.access import ClusterAccess, Server
from exporter.names.kube.failure import Failure, of_request, of_status

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse, PoolManager

# What frames an answer, the end of a chunk or a TLS ticket, may come by itself and be followed by nothing:
# fewer bytes than this are no reason to believe that a piece of the answer can be had without a wait.
_FRAMING_BYTES = 1_024
# A node that is gone is noticed by the kernel: probes after 20 s of silence, three of them 10 s apart.
_KEEPALIVE = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 20),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Whom to ask. host: in place of the API server that `access` names; likewise ca.

    insecure: any certificate is taken.
    """

    access: ClusterAccess
    host: str = ""
    ca: Path | None = None
    insecure: bool = False


@dataclass(frozen=True, slots=True)
class Timeouts:
    """In seconds: for the connection, and for the next byte of an answer."""

    connect: float = 5.0
    read: float = 30.0


class Client:
    """One connection at a time. Every error is a Failure.

    `abort` may be called by any thread: whoever is waiting for an answer fails at once, and so does everybody
    after it.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._opened: tuple[Server, PoolManager] | None = None
        self._socket: socket.socket | None = None
        self._sent: Mapping[str, str] = {}
        self._is_aborted = False

    @contextmanager
    def get(self, path: str, query: Mapping[str, str], timeouts: Timeouts) -> Iterator[Iterator[bytes]]:
        """The chunks of an answer as they come in; b"" where the next may have to be waited for."""
        with self._failures():
            response = self._request(path, query, timeouts)
        try:
            if response.status != 200:
                raise of_status(response.status, f"GET {path}", response.headers.get("Retry-After", ""))
            yield self._chunks(response)
        finally:
            response.close()

    def renew(self) -> bool:
        """Read the credentials anew after they were refused; whether they are others now."""
        before = self._sent
        self.close()
        with contextlib.suppress(Failure), self._failures():
            server, _ = self._open()
            return server.headers() != before
        return False

    def close(self) -> None:
        """Let go of the connection; the next request makes another."""
        opened, self._opened = self._opened, None
        if opened is not None:
            opened[1].clear()
        self._forget_socket()

    def abort(self) -> None:
        """Fail from now on."""
        self._is_aborted = True
        connection = self._socket
        if connection is not None:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _request(self, path: str, query: Mapping[str, str], timeouts: Timeouts) -> BaseHTTPResponse:
        server, manager = self._open()
        self._sent = server.headers()
        url = server.host + path + (f"?{urlencode(query)}" if query else "")
        return send(manager, url, self._sent, Limits(timeouts.connect, timeouts.read))

    def _open(self) -> tuple[Server, PoolManager]:
        if self._is_aborted:
            raise Failure("connection", "closing")
        if self._opened is None:
            server = _served(self._endpoint)
            manager = open_manager(server.host, server.tls, server.proxy, socket_options=_KEEPALIVE)
            pool = manager.connection_from_url(server.host)
            pool.ConnectionCls = self._remembering(pool.ConnectionCls)
            self._opened = server, manager
        return self._opened

    def _remembering(self, connection_class: Any) -> Any:
        """A connection of which `abort` and `_chunks` know the socket, in TLS's handshake already."""
        client = self

        class Remembered(connection_class):  # type: ignore[misc]
            def _new_conn(self) -> socket.socket:
                made: socket.socket = super()._new_conn()
                client._remember(made)
                return made

        return Remembered

    def _remember(self, made: socket.socket) -> None:
        self._forget_socket()
        # A duplicate: TLS takes the socket itself over, and shutting one down shuts down both.
        self._socket = socket.socket(fileno=os.dup(made.fileno()))
        if self._is_aborted:
            self.abort()

    def _forget_socket(self) -> None:
        connection, self._socket = self._socket, None
        if connection is not None:
            connection.close()

    def _chunks(self, response: BaseHTTPResponse) -> Iterator[bytes]:
        with self._failures():
            body = pieces(response)
            while True:
                if self._n_arrived() < _FRAMING_BYTES:
                    yield b""
                piece = next(body, b"")
                if not piece:
                    return
                yield piece

    def _n_arrived(self) -> int:
        """Bytes that the kernel holds for us; 0 without a connection."""
        if self._socket is None:
            return 0
        n_bytes = array.array("i", [0])
        ioctl(self._socket, FIONREAD, n_bytes)
        return n_bytes[0]

    @contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except Failure:
            raise
        except Exception as error:
            failed = reason(error)
            if failed is None:
                raise
            if failed.kind == "tls":
                self.close()  # the CA's file may hold another by the next request
            raise of_request(failed) from error


def _served(endpoint: Endpoint) -> Server:
    server = endpoint.access.server()
    if endpoint.host:
        # What the API server's certificate is called is no name of a kubelet.
        server = replace(server, host=endpoint.host.rstrip("/"), tls=replace(server.tls, server_name=""))
    if endpoint.ca:
        server = replace(server, tls=replace(server.tls, ca_file=endpoint.ca))
    if endpoint.insecure:
        server = replace(server, tls=Tls(None, server.tls.certificate, server.tls.key, verify=False))
    return server
