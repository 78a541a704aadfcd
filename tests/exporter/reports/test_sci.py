"""SCI by hand, and the functional unit asked of a server."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from ebpf.errors import UsageError
from exporter.http_access import Access
from exporter.http_client import RequestFailed
from exporter.reports.sci import count_units, sci_of
from exporter.reports.summary import Amount
from tests.exporter.reports.formats.summaries import summary_with


class Server(HTTPServer):
    """Answers every query with what it was given, and remembers what it was asked."""

    data: Any = None
    asked: dict[str, list[str]]


class Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Server)
        self.server.asked = parse_qs(urlsplit(self.path).query)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"status": "success", "data": self.server.data}).encode())

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Answer) as found:
        thread = threading.Thread(target=found.serve_forever, daemon=True)
        thread.start()
        yield found
        found.shutdown()
        thread.join()


def ask(server: Server, query: str = "sum(increase(orders_total[$range]))") -> float:
    return count_units(Access(f"http://127.0.0.1:{server.server_port}"), query, 1000, 4600)


def vector(*values: str) -> dict[str, Any]:
    return {"resultType": "vector", "result": [{"metric": {}, "value": [0, value]} for value in values]}


def test_the_score_is_operational_and_embodied_by_units() -> None:
    """By hand: 100 kWh at 400 g/kWh and 20 kg of machines over 1.2 million requests: 0.05 g each."""
    total = Amount(360e6, 360e6, 360e6, grams=40e3)
    sci = sci_of(summary_with(total=total, embodied_grams=20e3), "q", "request", 1.2e6)
    assert (sci.energy_kwh, sci.operational_grams, sci.embodied_grams) == (100.0, 40e3, 20e3)
    assert sci.grams_per_unit == pytest.approx(0.05)


def test_without_grams_there_is_no_score() -> None:
    with pytest.raises(UsageError, match="no grams"):
        sci_of(summary_with(total=Amount(1.0, 1.0, 1.0)), "q", "request", 1.0)


def test_the_query_is_asked_at_the_end_for_the_whole_span(server: Server) -> None:
    server.data = vector("1200000.5")
    assert ask(server) == 1200000.5
    assert server.asked == {"query": ["sum(increase(orders_total[3600s]))"], "time": ["4600"]}


def test_a_scalar_counts_as_well(server: Server) -> None:
    server.data = {"resultType": "scalar", "result": [0, "7"]}
    assert ask(server) == 7.0


@pytest.mark.parametrize(
    ("values", "said"), [((), "found 0"), (("1", "2"), "found 2"), (("0",), "above 0"), (("NaN",), "above 0")]
)
def test_what_is_no_number_of_units_is_refused(server: Server, values: tuple[str, ...], said: str) -> None:
    server.data = vector(*values)
    with pytest.raises(UsageError, match=said):
        ask(server)


def test_another_answer_and_none_are_told_with_who_was_asked(server: Server) -> None:
    with pytest.raises(RequestFailed, match=r"http://127.* no answer of a Prometheus"):
        ask(server)
    with pytest.raises(RequestFailed, match=r"--sci: http://127\.0\.0\.1:9: .*query was up"):
        count_units(Access("http://127.0.0.1:9"), "up", 0, 1)
