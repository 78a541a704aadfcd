"""A server of Prometheus' API: what failed is asked again, and what is too much in parts.

Prometheus, Thanos, Mimir and VictoriaMetrics answer an instant query for `selector[range]` with the samples
as they were scraped; nothing that extrapolates is asked for.
"""

from __future__ import annotations

import json
import logging
import random
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from exporter.errors import CollectFailed
from exporter.http_access import Access
from exporter.http_client import Limits, RequestFailed, get, retry_after_seconds
from exporter.reports.matrix import AnswerInvalid, Series, read_data, read_matrix

if TYPE_CHECKING:
    from urllib3 import PoolManager

log = logging.getLogger("exporter.reports")

MAX_ANSWER_BYTES: Final = 48 * 1024 * 1024
_LIMITS = Limits(connect=10.0, read=120.0, whole=180.0, max_bytes=MAX_ANSWER_BYTES)
_LONGEST_WAIT_SECONDS = 60.0
_AGAIN = ("unreachable", "cut")
_TOO_MUCH = (413, 414, 422)  # Prometheus, Mimir and VictoriaMetrics answer 422 where a query is over a limit
_TOO_SLOW = 504
_SHORTEST_SECONDS = 60.0


class TooMuch(CollectFailed):
    """A query that the server, or our own limit on answers, finds too large or too slow."""


@dataclass(frozen=True, slots=True)
class Retry:
    """tries: how often a request is made at most. first_wait_seconds: doubled each time.

    sleep: waits; by default in a way that Source.stop ends.
    """

    tries: int = 6
    first_wait_seconds: float = 1.0
    sleep: Callable[[float], object] | None = None


class Source:
    """Asks one server, from as many threads as one likes.

    Raises UsageError, when made, for what can never work.
    """

    def __init__(self, access: Access, retry: Retry | None = None, limits: Limits = _LIMITS) -> None:
        self._access, self._retry, self._limits = access, retry or Retry(), limits
        self._own = threading.local()
        self._stopped = threading.Event()
        access.headers()  # what does not go together is refused before anything is asked
        self._connections()

    @property
    def url(self) -> str:
        """Its address."""
        return self._access.url

    def samples(
        self, expression: Callable[[Sequence[str], int], str], nodes: Sequence[str], begin: float, end: float
    ) -> list[Series]:
        """The nodes' samples in (begin, end]; of a series that was asked for in parts, one piece a part.

        expression: the selector with its range, from names of nodes and whole seconds. Raises CollectFailed.
        """
        seconds = -int(-(end - begin) // 1)
        try:
            found = self.query(expression(nodes, seconds), end, len(nodes) > 1)
        except TooMuch:
            if len(nodes) > 1:
                halves = nodes[: len(nodes) // 2], nodes[len(nodes) // 2 :]
                return [each for half in halves for each in self.samples(expression, half, begin, end)]
            if seconds <= _SHORTEST_SECONDS:
                raise
            middle = begin + seconds // 2
            return [
                *self.samples(expression, nodes, begin, middle),
                *self.samples(expression, nodes, middle, end),
            ]
        return [part for each in found if (part := _within(each, begin, end)) is not None]

    def by_nodes(
        self, expression: Callable[[Sequence[str]], str], nodes: Sequence[str], at: float
    ) -> list[Series]:
        """An expression at one time, asked for by fewer nodes where it is too much. Raises CollectFailed."""
        try:
            return self.query(expression(nodes), at, len(nodes) > 1)
        except TooMuch:
            if len(nodes) < 2:
                raise
            halves = nodes[: len(nodes) // 2], nodes[len(nodes) // 2 :]
            return [each for half in halves for each in self.by_nodes(expression, half, at)]

    def query(self, expression: str, at: float, is_of_many: bool = False) -> list[Series]:
        """An instant query. Raises CollectFailed; TooMuch where a smaller one may do.

        is_of_many: if it is too slow, whoever asks does so for fewer nodes; else it is tried again before.
        """
        parameters = {"query": expression, "time": f"{at:.3f}", "partial_response": "false"}
        found: list[Series] = self._ask("query", parameters, read_matrix, is_of_many)
        return found

    def label_values(self, label: str, match: str, begin: float, end: float) -> list[str]:
        """The values that a label has in the series that match, about the time. Raises CollectFailed."""
        parameters = {
            "match[]": match,
            "start": f"{begin:.3f}",
            "end": f"{end:.3f}",
            "partial_response": "false",
        }
        return sorted(map(str, self._ask(f"label/{label}/values", parameters, read_data) or ()))

    def stop(self) -> None:
        """Try nothing again from now on: whoever waits for a server that is busy waits no more."""
        self._stopped.set()

    def _ask(
        self,
        path: str,
        parameters: Mapping[str, str],
        read: Callable[[bytes], Any],
        is_of_many: bool = False,
    ) -> Any:
        """What `read` makes of the answer. Whatever may be otherwise in a while is tried again."""
        wait = self._retry.first_wait_seconds
        for left in reversed(range(self._retry.tries)):
            try:
                return read(self._get(f"{self.url}/api/v1/{path}?{urlencode(parameters)}"))
            except (RequestFailed, AnswerInvalid) as error:
                failed = error
            if not left or self._stopped.is_set() or not _may_pass(failed, is_of_many):
                break
            again = getattr(failed, "retry_after", "")
            sleep = self._retry.sleep or self._stopped.wait
            sleep(max(wait, retry_after_seconds(again, _LONGEST_WAIT_SECONDS)))
            wait = min(_LONGEST_WAIT_SECONDS, wait * (1.5 + random.random()))  # noqa: S311
        raise _failure(self.url, failed)

    def _get(self, url: str) -> bytes:
        return get(
            self._connections(), url, {"Accept-Encoding": "gzip", **self._access.headers()}, self._limits
        )

    def _connections(self) -> PoolManager:
        """One pool a thread: a pool holds one connection."""
        if not hasattr(self._own, "manager"):
            self._own.manager = self._access.open_manager()
        manager: PoolManager = self._own.manager
        return manager


def said(body: bytes) -> str:
    """The server's own words of what is wrong, as one line; "" where there are none."""
    try:
        document = json.loads(body)
        text = str(document["error"]) if isinstance(document, dict) else ""
    except (ValueError, KeyError, RecursionError):
        return ""
    return "".join(each if each.isprintable() else " " for each in text)[:300]


def _within(series: Series, begin: float, end: float) -> Series | None:
    inside = (series.times > begin) & (series.times <= end)
    if inside.all():
        return series if len(series.times) else None
    return Series(series.labels, series.times[inside], series.values[inside]) if inside.any() else None


def _is_too_much(failed: RequestFailed | AnswerInvalid) -> bool:
    if isinstance(failed, AnswerInvalid):
        return False
    return failed.kind == "size" or failed.status in _TOO_MUCH or _is_too_slow(failed)


def _is_too_slow(failed: RequestFailed) -> bool:
    gave_up = failed.status == 503 and b"timeout" in failed.body[:200]
    return failed.kind == "timeout" or failed.status == _TOO_SLOW or gave_up


def _may_pass(failed: RequestFailed | AnswerInvalid, is_of_many: bool) -> bool:
    if isinstance(failed, AnswerInvalid):
        return True
    if _is_too_slow(failed):
        return not is_of_many
    return failed.status == 429 or failed.status >= 500 or failed.kind in _AGAIN


def _failure(url: str, failed: RequestFailed | AnswerInvalid) -> CollectFailed:
    """What to tell of the last of all tries."""
    if isinstance(failed, AnswerInvalid):
        return CollectFailed(f"{url}: {failed}; is it a server of Prometheus' API?")
    words = f": {text}" if (text := said(failed.body)) else ""
    if _is_too_slow(failed):
        return TooMuch(f"{url} does not answer in time: {failed}{words}; is it busy, or its disk slow?")
    if _is_too_much(failed):
        return TooMuch(f"{url}: one node's part of an hour is too much for the server: {failed}{words}")
    if failed.status in (401, 403):
        mend = "look at --user and --password-file, or --token-file, and at what they may see"
        return CollectFailed(f"{url} answers {failed.status}{words}; {mend}")
    if failed.status == 404:
        return CollectFailed(
            f"{url} has no /api/v1; is it a server of Prometheus' API, and its path in the address?"
        )
    if failed.status == 400:
        return CollectFailed(f"{url} refuses the query{words}; look at --selector and --requests-selector")
    if failed.kind == "tls":
        return CollectFailed(
            f"{url}: certificate not trusted: {failed}; --ca-file names its authority, or is it http?"
        )
    if failed.kind == "redirect":
        return CollectFailed(f"{url}: {failed}; give --prometheus the address where it leads")
    if failed.kind in (*_AGAIN, "unusable"):
        return CollectFailed(f"{url} cannot be reached: {failed}; look at --prometheus, and whether it runs")
    return CollectFailed(f"{url}: {failed}{words}")
