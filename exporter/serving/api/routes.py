"""/api/v1/: JSON of the last tick, written at most once for each thing that is asked of it."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from exporter.metrics.compression import compress
from exporter.metrics.negotiation import negotiate
from exporter.serving.api.history_answer import write_history
from exporter.serving.api.query import (
    BadQuery,
    HistoryQuery,
    WorkloadsQuery,
    parse_history,
    parse_nothing,
    parse_workloads,
)
from exporter.serving.api.status import status
from exporter.serving.api.view import View
from exporter.serving.api.workloads_answer import WorkloadsWriter
from exporter.serving.page.responses import (
    BAD_REQUEST,
    JSON,
    NOT_FOUND,
    OK,
    UNAVAILABLE,
    Response,
    problem,
    unless_known,
)
from exporter.serving.page.ui_files import UiFiles

_Key = tuple[str, WorkloadsQuery | HistoryQuery]

_NOT_YET = problem(UNAVAILABLE, "The first tick is not done yet.", (("Retry-After", "1"),))
_NO_SUCH = problem(NOT_FOUND, "There is status, workloads, history and openapi.json.")
# Answers kept of one tick: what pages and terminals ask, not what a client makes up.
_MOST_ANSWERS = 16


@dataclass(frozen=True, slots=True)
class _Answer:
    body: bytes
    etag: str


class Api:
    """Answers from a view. May be asked from any thread; documents are written one at a time."""

    def __init__(self, files: UiFiles, clock: Callable[[], float] = time.monotonic) -> None:
        self._files = files
        self._clock = clock
        self._workloads = WorkloadsWriter()
        self._lock = threading.Lock()
        self._view: View | None = None
        self._answers: dict[tuple[_Key, bool], _Answer] = {}

    def respond(
        self, path: str, environ: Mapping[str, Any], view: View | None, unhealthy: str | None
    ) -> Response:
        """The answer to a request for /api/v1/ + path. unhealthy: why no ticks happen, None while they do."""
        query = str(environ.get("QUERY_STRING", ""))
        try:
            if path == "openapi.json":
                parse_nothing(query)
                return self._files.respond("openapi.json", environ.get("HTTP_IF_NONE_MATCH"))
            ask = self._asked(path, query, unhealthy)
        except BadQuery as error:
            return problem(BAD_REQUEST, f"{error}.")
        if ask is None:
            return _NO_SUCH
        return _NOT_YET if view is None else self._send(*ask, view, environ)

    def _asked(
        self, path: str, query: str, unhealthy: str | None
    ) -> tuple[_Key | None, Callable[[View], bytes]] | None:
        """What to keep the answer under, None for not at all, and how to write it. Raises BadQuery."""
        if path == "workloads":
            workloads = parse_workloads(query)
            return ("workloads", workloads), lambda view: self._workloads.write(view, workloads)
        if path == "history":
            history = parse_history(query)
            return ("history", history), lambda view: write_history(view, history)
        if path == "status":
            parse_nothing(query)
            return None, lambda view: _encode(status(view, self._clock(), unhealthy))
        return None

    def _send(
        self,
        key: _Key | None,
        write: Callable[[View], bytes],
        view: View,
        environ: Mapping[str, Any],
    ) -> Response:
        if key is None:
            return Response(OK, write(view), JSON)
        compressed = negotiate(None, environ.get("HTTP_ACCEPT_ENCODING")).gzip
        with self._lock:
            answer = self._answer(key, compressed, write, view)
        encoding = (("Content-Encoding", "gzip"),) if compressed else ()
        response = Response(OK, answer.body, JSON, (("Vary", "Accept-Encoding"), *encoding))
        return unless_known(response, answer.etag, environ.get("HTTP_IF_NONE_MATCH"))

    def _answer(self, key: _Key, compressed: bool, write: Callable[[View], bytes], view: View) -> _Answer:
        if view is not self._view:
            self._view, self._answers = view, {}
        answer = self._answers.get((key, compressed))
        if answer is None:
            body = compress(self._answer(key, False, write, view).body) if compressed else write(view)
            answer = _Answer(body, f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"')
            if len(self._answers) < _MOST_ANSWERS:
                self._answers[key, compressed] = answer
        return answer


def _encode(document: Mapping[str, object]) -> bytes:
    return json.dumps(document, allow_nan=False).encode() + b"\n"
