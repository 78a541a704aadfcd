"""A receiver of OTLP/HTTP on loopback that takes pushes apart, and answers as a test says."""

from __future__ import annotations

import gzip
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)

from tests.exporter.loopback import serving_requests


@dataclass
class Receiver:
    """status, headers, rejected, why: of its answers. silent: whether it answers only once `released`.

    first: statuses of the answers before those of `status`.
    """

    url: str = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    first: list[int] = field(default_factory=list)
    rejected: int = 0
    why: str = ""
    silent: bool = False
    pushes: list[ExportMetricsServiceRequest] = field(default_factory=list)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)

    def handle(self, request: BaseHTTPRequestHandler) -> None:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.asked.append((request.path, headers))
        body = request.rfile.read(int(headers["content-length"]))
        if headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        if self.silent:
            self.released.wait(30)
        status = self.first.pop(0) if self.first else self.status
        if status == 200:
            self.pushes.append(ExportMetricsServiceRequest.FromString(body))
        answer = ExportMetricsServiceResponse()
        answer.partial_success.rejected_data_points = self.rejected
        answer.partial_success.error_message = self.why
        packed = answer.SerializeToString()
        request.send_response(status)
        for name, value in {"Content-Length": str(len(packed)), **self.headers}.items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(packed)


@contextmanager
def receiving(context: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """A receiver on a port of its own, with TLS where a context is given."""
    receiver = Receiver()
    with serving_requests(receiver.handle, context) as receiver.url:
        try:
            yield receiver
        finally:
            receiver.released.set()
