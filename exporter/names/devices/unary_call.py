"""One gRPC call with one answer, over a Unix socket: HTTP/2 by h2, the five bytes of gRPC by hand.

https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md. Three times as small in memory as grpcio.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from pathlib import Path
from urllib.parse import unquote

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from h2.exceptions import H2Error

from exporter.names.kube.failure import Failure

# A kubelet with 500 pods answers with some 100 kB.
MOST_BYTES = 16 << 20
_CHUNK = 1 << 16
# https://grpc.io/docs/guides/status-codes/
_REASONS = {4: "timeout", 7: "forbidden", 8: "throttled", 12: "refused", 16: "unauthorized"}


class UnaryCall:
    """Calls methods at one socket, each on a connection of its own; `abort` may come from another thread."""

    def __init__(self, path: Path, deadline_seconds: float = 5.0) -> None:
        self._path, self._deadline_seconds = path, deadline_seconds
        self._socket: socket.socket | None = None

    def __call__(self, method: str, request: bytes = b"") -> bytes:
        """The answer's message. Raises Failure."""
        end = time.monotonic() + self._deadline_seconds
        with socket.socket(socket.AF_UNIX) as connection:
            self._socket = connection
            try:
                connection.settimeout(self._deadline_seconds)
                connection.connect(str(self._path))
                return _exchange(connection, method, request, end)
            except H2Error as error:
                raise Failure("malformed", f"no HTTP/2 at {self._path}: {error}") from error
            except TimeoutError as error:
                raise Failure("timeout", f"no answer within {self._deadline_seconds:g} s") from error
            except PermissionError as error:
                raise Failure(
                    "forbidden", f"{self._path} may not be opened: the kubelet lets root alone do it"
                ) from error
            except OSError as error:
                raise Failure("connection", f"{self._path}: {error.strerror or error}") from error
            finally:
                self._socket = None

    def abort(self) -> None:
        """End the call that is under way."""
        if connection := self._socket:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class _Answer:
    """What has come of an answer so far."""

    def __init__(self) -> None:
        self.body = bytearray()
        self.headers: dict[str, str] = {}
        self.is_whole = False

    def take(self, event: Event, http: H2Connection) -> None:
        """Raises Failure for an end before the end, and for an answer that is too long."""
        if isinstance(event, DataReceived):
            self.body += event.data or b""
            http.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id or 0)
            if len(self.body) > MOST_BYTES:
                raise Failure("malformed", f"the answer is longer than {MOST_BYTES} bytes")
        elif isinstance(event, ResponseReceived | TrailersReceived):
            self.headers |= {_text(name): _text(value) for name, value in event.headers or ()}
        elif isinstance(event, StreamEnded):
            self.is_whole = True
        elif isinstance(event, StreamReset | ConnectionTerminated):
            raise Failure("connection", f"ended by the server, with code {event.error_code}")

    def message(self) -> bytes:
        """Raises Failure where the call failed, or the answer is no single message."""
        status = self.headers.get("grpc-status", "")
        if not status.isdecimal():
            raise Failure("malformed", f"no gRPC answer: HTTP status {self.headers.get(':status')}")
        if status != "0":
            told = unquote(self.headers.get("grpc-message", ""))[:200]
            raise Failure(_REASONS.get(int(status), "server"), f"gRPC status {status}: {told}")
        if len(self.body) < 5:
            raise Failure("malformed", f"an answer of {len(self.body)} bytes")
        is_packed, size = struct.unpack(">BI", self.body[:5])
        if is_packed or size != len(self.body) - 5:
            raise Failure("malformed", f"a message of {size} bytes in {len(self.body) - 5}")
        return bytes(self.body[5:])


def _exchange(connection: socket.socket, method: str, request: bytes, end: float) -> bytes:
    http = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
    http.initiate_connection()
    stream = http.get_next_available_stream_id()
    http.send_headers(
        stream,
        [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", method),
            (":authority", "localhost"),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
        ],
    )
    http.send_data(stream, struct.pack(">BI", 0, len(request)) + request, end_stream=True)
    connection.sendall(http.data_to_send())
    answer = _Answer()
    while not answer.is_whole:
        left = end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        connection.settimeout(left)
        received = connection.recv(_CHUNK)
        if not received:
            raise Failure("connection", "the connection was cut")
        for event in http.receive_data(received):
            answer.take(event, http)
        with contextlib.suppress(BrokenPipeError):  # a server that is gone may have said more before
            connection.sendall(http.data_to_send())
    return answer.message()


def _text(header: bytes | str) -> str:
    return header if isinstance(header, str) else header.decode("utf-8", "replace")
