"""Asking the API server or a kubelet over HTTP, so that it can be interrupted at any time."""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from exporter.kube.access import Access
from exporter.kube.errors import Failure, of_status
from exporter.kube.imports import client_parts

_CHUNK_BYTES = 64 * 1024
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

    access: Access
    host: str = ""
    ca: Path | None = None
    insecure: bool = False


@dataclass(frozen=True, slots=True)
class Timeouts:
    """In seconds: for the connection, and for the next byte of an answer."""

    connect: float = 5.0
    read: float = 30.0


class Client:
    """One connection at a time, by the official client's REST layer. Every error is a Failure.

    `abort` may be called by any thread: whoever is waiting for an answer fails at once, and so does everybody
    after it.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._configuration: Any = None
        self._rest: Any = None
        self._pool: Any = None
        self._socket: socket.socket | None = None
        self._sent: Mapping[str, str] = {}
        self._is_aborted = False
        self._poll = select.poll()

    @contextmanager
    def get(self, path: str, query: Mapping[str, str], timeouts: Timeouts) -> Iterator[Iterator[bytes]]:
        """The chunks of an answer as they come in; b"" before a wait for the next."""
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
            self._open()
            return self._endpoint.access.headers(self._configuration) != before
        return False

    def close(self) -> None:
        """Let go of the connection; the next request makes another."""
        pool, self._pool = self._pool, None
        self._configuration = self._rest = None
        if pool is not None:
            pool.close()
        self._forget_socket()

    def abort(self) -> None:
        """Fail from now on."""
        self._is_aborted = True
        connection = self._socket
        if connection is not None:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _request(self, path: str, query: Mapping[str, str], timeouts: Timeouts) -> Any:
        from urllib3.util import Timeout

        self._open()
        self._sent = self._endpoint.access.headers(self._configuration)
        url = self._configuration.host + path + (f"?{urlencode(query)}" if query else "")
        return self._rest.pool_manager.urlopen(
            "GET",
            url,
            headers={"accept": "application/json", "user-agent": "podjoule", **self._sent},
            redirect=False,
            retries=False,
            preload_content=False,
            timeout=Timeout(connect=timeouts.connect, read=timeouts.read),
        )

    def _open(self) -> None:
        if self._is_aborted:
            raise Failure("connection", "closing")
        if self._rest is not None:
            return
        configuration = _configured(self._endpoint)
        _, rest_class = client_parts()
        rest = rest_class(configuration)
        pool = rest.pool_manager.connection_from_url(configuration.host)
        pool.ConnectionCls = self._remembering(pool.ConnectionCls)
        self._configuration, self._rest, self._pool = configuration, rest, pool

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
        self._poll.register(self._socket, select.POLLIN)
        if self._is_aborted:
            self.abort()

    def _forget_socket(self) -> None:
        connection, self._socket = self._socket, None
        if connection is not None:
            self._poll.unregister(connection)
            connection.close()

    def _chunks(self, response: Any) -> Iterator[bytes]:
        with self._failures():
            pieces = _pieces(response)
            while True:
                if not self._poll.poll(0):
                    yield b""
                piece = next(pieces, b"")
                if not piece:
                    return
                yield piece

    @contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except Failure:
            raise
        except Exception as error:
            failure = _failure(error)
            if failure is None:
                raise
            raise failure from error


def _pieces(response: Any) -> Iterator[bytes]:
    """What has come in, without waiting for more of it; `stream` does so for an answer in chunks alone."""
    if response.chunked:
        pieces: Iterator[bytes] = response.stream(_CHUNK_BYTES)
        return pieces
    return iter(lambda: response.read1(_CHUNK_BYTES), b"")


def _configured(endpoint: Endpoint) -> Any:
    configuration = endpoint.access.configuration()
    configuration.socket_options = list(_KEEPALIVE)
    if endpoint.host:
        configuration.host = endpoint.host.rstrip("/")
        configuration.tls_server_name = None  # the API server's
    if endpoint.ca:
        configuration.ssl_ca_cert = str(endpoint.ca)
    if endpoint.insecure:
        import urllib3

        # Said once in our own words (pod_directory), not at every request.
        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        configuration.verify_ssl, configuration.assert_hostname = False, False
        configuration.ssl_ca_cert = None
    return configuration


def _failure(error: Exception) -> Failure | None:
    """What an exception of the client, of urllib3 or of the system means; None: it is none of theirs."""
    from urllib3 import exceptions as u

    if isinstance(error, u.NewConnectionError | u.NameResolutionError):
        return Failure("connection", f"no connection: {_told(error)}")
    if isinstance(error, u.SSLError | ssl.SSLError):
        return Failure("tls", f"no TLS with a certificate of the CA that was given: {_told(error)}")
    if isinstance(error, u.TimeoutError | TimeoutError):
        return Failure("timeout", f"no answer in time: {_told(error)}")
    if isinstance(error, u.ProxyError) and isinstance(error.original_error, Exception):
        return _failure(error.original_error)
    if isinstance(error, u.LocationParseError | u.InvalidHeader | UnicodeError):
        return Failure(
            "credentials", f"the address or the credentials cannot be used: {type(error).__name__}"
        )
    if isinstance(error, u.HTTPError | HTTPException | OSError):
        return Failure("connection", f"the connection was cut: {_told(error)}")
    return None


def _told(error: Exception) -> str:
    return json.dumps(str(error), ensure_ascii=False)[1:301].removesuffix('"')
