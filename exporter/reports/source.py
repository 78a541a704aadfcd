"""A server of Prometheus' API: what failed is asked again, and what is too much in parts.

Prometheus, Thanos, Mimir and VictoriaMetrics answer an instant query for `selector[range]` with the samples
as they were scraped; nothing that extrapolates is asked for.
"""

from __future__ import annotations

import base64
import json
import logging
import random
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from ebpf.errors import UsageError
from exporter.errors import CollectFailed
from exporter.http_client import Limits, RequestFailed, Tls, get, open_manager, retry_after_seconds
from exporter.reports.matrix import AnswerInvalid, Series, read_data, read_matrix

if TYPE_CHECKING:
    from urllib3 import PoolManager

log = logging.getLogger("exporter.reports")

MAX_ANSWER_BYTES: Final = 48 * 1024 * 1024
_LIMITS = Limits(connect=10.0, read=120.0, whole=180.0, max_bytes=MAX_ANSWER_BYTES)
_LONGEST_WAIT_SECONDS = 60.0
_AGAIN = ("unreachable", "cut")
_TOO_MUCH = (
    413,
    414,
    422,
    504,
)  # Prometheus, Mimir and VictoriaMetrics answer 422 where a query is over a limit
_SHORTEST_SECONDS = 60.0
_MAX_SECRET_BYTES = 16 * 1024


class TooMuch(CollectFailed):
    """A query that the server, or our own limit on answers, finds too large or too slow."""


@dataclass(frozen=True, slots=True)
class Access:
    """How a server is reached.

    user and password_file go together, token_file alone; ca_file: None for the system's.

    tenant: whom Mimir and Cortex are asked for, "" for nobody.
    """

    url: str
    user: str = ""
    password_file: Path | None = None
    token_file: Path | None = None
    ca_file: Path | None = None
    tenant: str = ""


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
        self._headers()
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
            found = self.query(expression(nodes, seconds), end)
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
            return self.query(expression(nodes), at)
        except TooMuch:
            if len(nodes) < 2:
                raise
            halves = nodes[: len(nodes) // 2], nodes[len(nodes) // 2 :]
            return [each for half in halves for each in self.by_nodes(expression, half, at)]

    def query(self, expression: str, at: float) -> list[Series]:
        """An instant query. Raises CollectFailed; TooMuch where a smaller one may do."""
        parameters = {"query": expression, "time": f"{at:.3f}", "partial_response": "false"}
        found: list[Series] = self._ask("query", parameters, read_matrix)
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

    def _ask(self, path: str, parameters: Mapping[str, str], read: Callable[[bytes], Any]) -> Any:
        """What `read` makes of the answer. Whatever may be otherwise in a while is tried again."""
        wait = self._retry.first_wait_seconds
        for left in reversed(range(self._retry.tries)):
            try:
                return read(self._get(f"{self.url}/api/v1/{path}?{urlencode(parameters)}"))
            except (RequestFailed, AnswerInvalid) as error:
                failed = error
            if not left or self._stopped.is_set() or not _may_pass(failed):
                break
            again = getattr(failed, "retry_after", "")
            sleep = self._retry.sleep or self._stopped.wait
            sleep(max(wait, retry_after_seconds(again, _LONGEST_WAIT_SECONDS)))
            wait = min(_LONGEST_WAIT_SECONDS, wait * (1.5 + random.random()))  # noqa: S311
        raise _failure(self.url, failed)

    def _get(self, url: str) -> bytes:
        return get(self._connections(), url, self._headers(), self._limits)

    def _headers(self) -> dict[str, str]:
        """Read anew each time: tokens of Kubernetes are replaced within the hour."""
        tenant = {"X-Scope-OrgID": self._access.tenant} if self._access.tenant else {}
        return {"Accept-Encoding": "gzip", **tenant, **_authorization(self._access)}

    def _connections(self) -> PoolManager:
        """One pool a thread: a pool holds one connection."""
        if not hasattr(self._own, "manager"):
            ca_file = self._access.ca_file
            try:
                self._own.manager = open_manager(self.url, Tls(ca_file) if ca_file else None)
            except RequestFailed as failed:
                raise UsageError(f"--ca-file {ca_file}: {failed}") from None
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
    slow = failed.status == 503 and b"timeout" in failed.body[:200]
    return failed.kind in ("size", "timeout") or failed.status in _TOO_MUCH or slow


def _may_pass(failed: RequestFailed | AnswerInvalid) -> bool:
    if isinstance(failed, AnswerInvalid):
        return True
    busy = failed.status == 429 or failed.status >= 500
    return (busy or failed.kind in _AGAIN) and not _is_too_much(failed)


def _failure(url: str, failed: RequestFailed | AnswerInvalid) -> CollectFailed:
    """What to tell of the last of all tries."""
    if isinstance(failed, AnswerInvalid):
        return CollectFailed(f"{url}: {failed}; is it a server of Prometheus' API?")
    words = f": {text}" if (text := said(failed.body)) else ""
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


def _authorization(access: Access) -> dict[str, str]:
    if bool(access.user) != (access.password_file is not None):
        raise UsageError("--user and --password-file go together; one of them is missing")
    if access.user and access.token_file:
        raise UsageError("--user and --token-file: a server takes one of them; leave the other out")
    if ":" in access.user:
        raise UsageError("--user: a user of HTTP basic authentication holds no colon")
    if access.password_file:
        pair = f"{access.user}:{_secret('--password-file', access.password_file)}"
        return {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}
    if access.token_file:
        token = _secret("--token-file", access.token_file)
        if not (token.isascii() and token.isprintable()) or " " in token or not token:
            raise UsageError(
                f"--token-file {access.token_file}: wanted one line with the token, found something else"
            )
        return {"Authorization": f"Bearer {token}"}
    return {}


def _secret(flag: str, path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_MAX_SECRET_BYTES).decode("utf-8").rstrip("\r\n")
    except (OSError, ValueError) as error:
        raise UsageError(f"{flag} {path}: cannot be read: {error}") from None
