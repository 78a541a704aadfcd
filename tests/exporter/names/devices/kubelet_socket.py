"""A kubelet's PodResources socket: HTTP/2 and gRPC on a real Unix socket, which fails on demand."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, RequestReceived, StreamEnded, WindowUpdated

from tests.exporter.names.devices.messages import field, number, varint

Fault = Callable[["Exchange"], None]
Devices = Mapping[tuple[str, str], Mapping[str, list[str]]]
"""By namespace and name of a pod, by resource, the ids of its devices."""


class Exchange:
    """One call and the ways to answer it."""

    def __init__(self, connection: socket.socket, closing: threading.Event) -> None:
        self.connection, self.closing = connection, closing
        self.http = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self.http.initiate_connection()
        self.headers: dict[str, str] = {}
        self.request, self.stream = b"", 0

    def receive(self) -> bool:
        """Read the whole call; whether there was one."""
        self.connection.sendall(self.http.data_to_send())
        while data := self.connection.recv(65536):
            for event in self.http.receive_data(data):
                if isinstance(event, RequestReceived):
                    self.stream, self.headers = event.stream_id, dict(event.headers)
                elif isinstance(event, DataReceived):
                    self.request += event.data
                elif isinstance(event, StreamEnded):
                    return True
            self.connection.sendall(self.http.data_to_send())
        return False

    def answer(self, message: bytes) -> None:
        self.begin()
        self.send(struct.pack(">BI", 0, len(message)) + message)
        self.end()

    def begin(self, status: str = "200") -> None:
        self.http.send_headers(self.stream, [(":status", status), ("content-type", "application/grpc")])

    def send(self, data: bytes) -> None:
        """As fast as the client's window lets us."""
        while data:
            room = min(
                self.http.local_flow_control_window(self.stream), self.http.max_outbound_frame_size, len(data)
            )
            if room:
                self.http.send_data(self.stream, data[:room])
                data = data[room:]
            self.connection.sendall(self.http.data_to_send())
            if not room:
                self._await_window()

    def end(self, status: int = 0, message: str = "") -> None:
        trailers = [("grpc-status", str(status)), ("grpc-message", message)]
        self.http.send_headers(self.stream, trailers, end_stream=True)
        self.connection.sendall(self.http.data_to_send())

    def refuse(self, status: int, message: str) -> None:
        """As a gRPC server does it: all of it in the first headers."""
        refusal = [(":status", "200"), ("content-type", "application/grpc")]
        refusal += [("grpc-status", str(status)), ("grpc-message", message)]
        self.http.send_headers(self.stream, refusal, end_stream=True)
        self.connection.sendall(self.http.data_to_send())

    def _await_window(self) -> None:
        while data := self.connection.recv(65536):
            events = self.http.receive_data(data)
            self.connection.sendall(self.http.data_to_send())
            if any(isinstance(event, WindowUpdated) for event in events):
                return
        raise ConnectionResetError


class KubeletSocket:
    """Serves `devices` at `path`, which stays the same over stop() and start().

    faults take the place of the next answers. calls: paths of the methods that were called.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.devices = path, dict[tuple[str, str], Mapping[str, list[str]]]()
        self.faults = deque[Fault]()
        self.calls: list[str] = []
        self.start()

    def start(self) -> None:
        self._closing = threading.Event()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.path))
        self._listener.listen()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def stop(self) -> None:
        """Be gone, and the socket with it."""
        self._closing.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.path.unlink(missing_ok=True)
        for thread in self._threads:
            thread.join(5)

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            exchange = Exchange(connection, self._closing)
            if not exchange.receive():
                return
            self.calls.append(exchange.headers[":path"])
            if self.faults:
                self.faults.popleft()(exchange)
            elif exchange.headers[":path"] != "/v1.PodResourcesLister/List" or exchange.request != bytes(5):
                exchange.refuse(12, "unknown method")
            else:
                exchange.answer(listed(self.devices))


def listed(devices: Devices) -> bytes:
    """A ListPodResourcesResponse, with fields beside those that are read, as the kubelet's have them."""
    return b"".join(
        field(
            1,
            field(1, name.encode()) + field(2, namespace.encode()) + _container(resources) + number(4, 2),
        )
        for (namespace, name), resources in devices.items()
    )


def _container(resources: Mapping[str, list[str]]) -> bytes:
    numa = field(3, field(1, number(1, 0)))
    held = b"".join(
        field(2, field(1, resource.encode()) + b"".join(field(2, one.encode()) for one in ids) + numa)
        for resource, ids in resources.items()
    )
    cpus = field(3, b"".join(map(varint, range(0, 400, 7))))
    memory = field(4, field(1, b"memory") + number(2, 1 << 34))
    return field(3, field(1, b"main") + held + cpus + memory)


def hang(exchange: Exchange) -> None:
    """Say nothing until the server closes."""
    exchange.closing.wait(60)


def hang_amid(exchange: Exchange) -> None:
    """Begin to answer, then say nothing."""
    exchange.begin()
    exchange.connection.sendall(exchange.http.data_to_send())
    hang(exchange)


def cut(exchange: Exchange) -> None:
    """End the connection amid the answer."""
    exchange.begin()
    exchange.send(struct.pack(">BI", 0, 1000) + bytes(10))


def raw(data: bytes) -> Fault:
    """These bytes after HTTP/2's first, and the end."""
    return lambda exchange: exchange.connection.sendall(data)


def page(exchange: Exchange) -> None:
    """HTTP/2 without gRPC."""
    exchange.begin("404")
    exchange.http.end_stream(exchange.stream)
    exchange.connection.sendall(exchange.http.data_to_send())


def message(body: bytes) -> Fault:
    return lambda exchange: exchange.answer(body)


def framed(frame: bytes) -> Fault:
    """These bytes where a message with its length should be."""

    def fault(exchange: Exchange) -> None:
        exchange.begin()
        exchange.send(frame)
        exchange.end()

    return fault


def refuse(status: int, told: str = "") -> Fault:
    return lambda exchange: exchange.refuse(status, told)
