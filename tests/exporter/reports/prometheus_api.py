"""A server of Prometheus' API on a real socket, for what `collect` asks: selectors and sums of them."""

from __future__ import annotations

import json
import re
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.exporter.reports.world import Labels, Samples

Answer = tuple[int, bytes, Mapping[str, str]]
_SELECTOR = re.compile(r"(\w*)\{((?:[^{}\"]|\"(?:[^\"\\]|\\.)*\")*)\}(?:\[(\d+)s\])?")
_MATCHER = re.compile(r"(\w+)(=~|!=|=)\"((?:[^\"\\]|\\.)*)\"")


class Api:
    """Serves samples. trouble: asked before each request is answered; what it gives is answered instead."""

    def __init__(self, samples: Samples) -> None:
        self._known = {labels: (dict(labels), points) for labels, points in samples.items()}
        self.asked: list[str] = []
        self.headers: list[Mapping[str, str]] = []
        self.under_way = self.most_under_way = 0
        self.trouble: Callable[[str, str], Answer | None] = lambda path, query: None
        self._lock = threading.Lock()
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                status, body, headers = api.answer(self.path, dict(self.headers))
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Api:
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, url: str, headers: Mapping[str, str]) -> Answer:
        parts = urlsplit(url)
        given = {name: values[0] for name, values in parse_qs(parts.query).items()}
        query = given.get("query", given.get("match[]", ""))
        with self._lock:
            self.asked.append(query)
            self.headers.append(headers)
            self.under_way += 1
            self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            return self.trouble(parts.path, query) or self._answer(parts.path, given, query)
        finally:
            with self._lock:
                self.under_way -= 1

    def _answer(self, path: str, given: Mapping[str, str], query: str) -> Answer:
        if found := re.fullmatch(r"/api/v1/label/(\w+)/values", path):
            begin, end = float(given["start"]), float(given["end"])
            matched = self._matched(query)
            inside = [labels for labels, points in matched if any(begin <= at <= end for at, _ in points)]
            return _success(sorted({dict(labels).get(found[1], "") for labels in inside}))
        if path != "/api/v1/query":
            return 404, b"404 page not found", {}
        return _success(self._result(query, float(given["time"])))

    def _result(self, query: str, at: float) -> Mapping[str, Any]:
        ranged = list(self._ranged(query, at))
        if by := re.match(r"sum by \(([\w, ]+)\)", query):
            values = self._summed(by[1].split(", "), ranged, "count_over_time" in query)
            series = [{"metric": dict(key), "value": [at, repr(value)]} for key, value in values.items()]
            return {"resultType": "vector", "result": series}
        assert query.endswith("s]"), query
        matrix = [
            {"metric": dict(labels), "values": [[t, repr(v)] for t, v in some]} for labels, some in ranged
        ]
        return {"resultType": "matrix", "result": matrix}

    def _summed(
        self, by: Sequence[str], ranged: Sequence[tuple[Labels, list[tuple[float, float]]]], count: bool
    ) -> dict[Labels, float]:
        sums: dict[Labels, float] = defaultdict(float)
        for labels, some in ranged:
            key = tuple((name, dict(labels)[name]) for name in by if dict(labels).get(name))
            sums[key] += len(some) if count else sum(value for _, value in some) / len(some)
        return sums

    def _ranged(self, query: str, at: float) -> Iterator[tuple[Labels, list[tuple[float, float]]]]:
        found = _SELECTOR.search(query)
        assert found, query
        for labels, points in self._matched(query):
            if some := [point for point in points if at - int(found[3]) <= point[0] <= at]:
                yield labels, some

    def _matched(self, query: str) -> Iterator[tuple[Labels, list[tuple[float, float]]]]:
        found = _SELECTOR.search(query)
        assert found, query
        matchers = [(name, how, json.loads(f'"{value}"')) for name, how, value in _MATCHER.findall(found[2])]
        if found[1]:
            matchers.append(("__name__", "=", found[1]))
        for labels, (known, points) in self._known.items():
            if all(_fits(known.get(name, ""), how, value) for name, how, value in matchers):
                yield labels, points


def _fits(found: str, how: str, value: str) -> bool:
    if how == "=~":
        return re.fullmatch(value, found) is not None
    return (found == value) is (how == "=")


def _success(data: Any) -> Answer:
    document = {"status": "success", "data": data}
    return 200, json.dumps(document, separators=(",", ":")).encode(), {"Content-Type": "application/json"}


def failure(status: int, kind: str, message: str) -> Answer:
    document = {"status": "error", "errorType": kind, "error": message}
    return status, json.dumps(document).encode(), {"Content-Type": "application/json"}
