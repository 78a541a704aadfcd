"""A device plugin: it tells the kubelet of devices that are but names, and hands them out.

https://github.com/kubernetes/kubernetes/blob/master/staging/src/k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1/api.proto
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, Event, RequestReceived, StreamEnded

from exporter.names.devices.unary_call import UnaryCall
from exporter.names.devices.wire import messages
from tests.exporter.names.devices.messages import field

# Where every kubelet has them, whatever its root directory is.
FOLDER = Path("/var/lib/kubelet/device-plugins")
_SERVICE = "/v1beta1.DevicePlugin"


class DevicePlugin:
    """Offers `ids` as the extended resource of a name, while it is entered."""

    def __init__(self, resource: str, ids: Sequence[str]) -> None:
        self._resource, self._ids = resource, ids
        self._path = FOLDER / f"podjoule-{resource.replace('/', '-')}.sock"
        self._listener = socket.socket(socket.AF_UNIX)
        self._connections: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    def __enter__(self) -> Self:
        self._path.unlink(missing_ok=True)
        self._listener.bind(str(self._path))
        self._listener.listen()
        self._threads[0].start()
        request = (
            field(1, b"v1beta1") + field(2, self._path.name.encode()) + field(3, self._resource.encode())
        )
        UnaryCall(FOLDER / "kubelet.sock")("/v1beta1.Registration/Register", request)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for connection in (self._listener, *self._connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        for thread in self._threads:
            thread.join(5)
        self._path.unlink(missing_ok=True)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._connections.append(connection)
                self._threads.append(threading.Thread(target=self._serve, args=(connection,), daemon=True))
                self._threads[-1].start()

    def _serve(self, connection: socket.socket) -> None:
        calls = _Calls(self._ids)
        with contextlib.suppress(OSError):
            connection.sendall(calls.http.data_to_send())
            while received := connection.recv(65536):
                for event in calls.http.receive_data(received):
                    calls.take(event)
                connection.sendall(calls.http.data_to_send())


class _Calls:
    """The calls on one connection; that for the list of devices stays open, as the kubelet wants it."""

    def __init__(self, ids: Sequence[str]) -> None:
        self.http = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self.http.initiate_connection()
        self._ids = ids
        self._methods: dict[int, str] = {}
        self._requests: dict[int, bytes] = {}

    def take(self, event: Event) -> None:
        if isinstance(event, RequestReceived):
            self._methods[event.stream_id] = dict(event.headers)[":path"].removeprefix(_SERVICE)
            self._requests[event.stream_id] = b""
        elif isinstance(event, DataReceived):
            self._requests[event.stream_id] += event.data
            self.http.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, StreamEnded):
            self._answer(
                event.stream_id, self._methods.pop(event.stream_id), self._requests[event.stream_id][5:]
            )

    def _answer(self, stream: int, method: str, request: bytes) -> None:
        self.http.send_headers(stream, [(":status", "200"), ("content-type", "application/grpc")])
        if method == "/ListAndWatch":
            devices = (field(1, field(1, one.encode()) + field(2, b"Healthy")) for one in self._ids)
            self._send(stream, b"".join(devices))
            return
        if method == "/Allocate":  # a response for each container, with nothing that it needs
            self._send(stream, b"".join(field(1, b"") for _ in messages(request, 1)))
        elif method == "/GetDevicePluginOptions":
            self._send(stream, b"")
        is_known = method in ("/Allocate", "/GetDevicePluginOptions")
        self.http.send_headers(stream, [("grpc-status", "0" if is_known else "12")], end_stream=True)

    def _send(self, stream: int, message: bytes) -> None:
        self.http.send_data(stream, struct.pack(">BI", 0, len(message)) + message)
