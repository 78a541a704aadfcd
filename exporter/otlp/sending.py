"""Pushes by OpenTelemetry's exporter, which packs, retries and backs off; what became of each is told."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable
from typing import Any

import requests
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.sdk.metrics.export import MetricExportResult, MetricsData

from exporter.configuration.otlp_options import Otlp
from exporter.otlp.headers import read_headers
from exporter.otlp.outcome import PushFailed, in_one_line, of_status

_COMPRESSIONS = {"gzip": Compression.Gzip, "none": Compression.NoCompression}
_PATH = "/v1/metrics"
_MOST_SECONDS = 10.0


class Sender:
    """Pushes to one endpoint. Retries within a third of the interval, and no longer than 10 s."""

    def __init__(self, options: Otlp) -> None:
        if options.endpoint is None:
            raise ValueError("otlp.endpoint is not set")
        # It logs each try at warning and error; the pusher says what matters, once.
        logging.getLogger("opentelemetry.exporter").setLevel(logging.CRITICAL)
        self._headers_file = options.headers_file
        self._session = _Session()
        self._exporter = OTLPMetricExporter(
            full_url(options.endpoint),
            certificate_file=str(options.ca_file) if options.ca_file else None,
            timeout=min(_MOST_SECONDS, options.interval_seconds / 3),
            compression=_COMPRESSIONS[options.compression],
            session=self._session,
        )

    def push(self, requests_: Iterable[MetricsData]) -> None:
        """Send all of one snapshot.

        Raises PushFailed: where a request is not taken whole, once the others are sent; else at once.
        """
        self._session.secret = read_headers(self._headers_file)
        first: PushFailed | None = None
        for request in requests_:
            failure = self._send(request)
            if failure is not None and not failure.is_of_request:
                raise failure
            first = first or failure
        if first is not None:
            raise first

    def _send(self, request: MetricsData) -> PushFailed | None:
        self._session.failure = None
        is_taken = self._exporter.export(request) is MetricExportResult.SUCCESS
        if not is_taken and self._session.failure is None:
            return PushFailed("internal", "the request could not be packed", is_of_request=True)
        return self._session.failure

    def push_nothing(self) -> None:
        """Send a request without counters, to see whether it would be taken. Raises PushFailed."""
        self.push([MetricsData([])])

    def close(self) -> None:
        """End a push that is under way in another thread, and all waiting between its tries."""
        self._exporter.shutdown()


def full_url(endpoint: str) -> str:
    """The address with OTLP/HTTP's own path, where it has none."""
    scheme, _, rest = endpoint.partition("://")
    host, _, path = rest.partition("/")
    return f"{scheme}://{host}/{path}" if path else f"{scheme}://{host}{_PATH}"


class _Session(requests.Session):
    """Adds the secret headers, and keeps why the last try failed. failure: None where it did not."""

    def __init__(self) -> None:
        super().__init__()
        self.secret: dict[str, str] = {}
        self.failure: PushFailed | None = None
        self.auth = _as_it_is

    def request(self, *args: Any, **kwargs: Any) -> requests.Response:
        """See requests.Session. For its last try the exporter may have no time left: urllib3 refuses that
        as a wrong value, and what failed before it is what there is to tell."""
        if (timeout := kwargs.get("timeout")) is not None and timeout <= 0:
            self.failure = self.failure or PushFailed("timeout", "no time was left to push")
            raise requests.exceptions.Timeout
        kwargs["headers"] = {**(kwargs.get("headers") or {}), **self.secret}
        kwargs["verify"] = self.verify  # or REQUESTS_CA_BUNDLE would take the place of otlp.caFile
        kwargs["allow_redirects"] = False  # what the headers hold must go nowhere else
        try:
            response = super().request(*args, **kwargs)
        except Exception as error:
            self.failure = _failed(error)
            raise
        self.failure = of_status(response.status_code, response.reason) or _rejected(response)
        return response


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Without it requests would put what ~/.netrc knows in place of an Authorization of ours."""
    return request


def _failed(error: Exception) -> PushFailed:
    for reason, types in (
        ("tls", requests.exceptions.SSLError),
        ("timeout", requests.exceptions.Timeout),
        ("unreachable", (requests.exceptions.ConnectionError, OSError)),
    ):
        if isinstance(error, types):
            return PushFailed(reason, _told(error))
    return PushFailed("internal", type(error).__name__)  # its text could hold what must not be logged


def _told(error: BaseException) -> str:
    """The innermost cause, in one line."""
    inner = error.__cause__ or next((arg for arg in error.args if isinstance(arg, Exception)), None)
    inner = getattr(error, "reason", None) if isinstance(getattr(error, "reason", None), Exception) else inner
    if inner is not None:
        return _told(inner)
    text = getattr(error, "verify_message", None) or getattr(error, "strerror", None) or str(error)
    return in_one_line(text or type(error).__name__)


def _rejected(response: requests.Response) -> PushFailed | None:
    """What an endpoint says that it took but in part (OTLP 1.0, "Partial Success")."""
    told = ExportMetricsServiceResponse()
    with contextlib.suppress(Exception):  # what is no such message says nothing
        told.ParseFromString(response.content)
    if rejected := told.partial_success.rejected_data_points:
        why = in_one_line(told.partial_success.error_message)
        return PushFailed("rejected", f"refused {rejected} points: {why}", is_of_request=True)
    return None
