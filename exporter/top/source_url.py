"""Frames from a running exporter, over HTTP."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import NoReturn
from urllib.parse import urlsplit

from ebpf.errors import UsageError
from exporter.http_access import Access
from exporter.http_client import Limits, RequestFailed, get
from exporter.top.frame import Document, Frame, Unanswered, make_frame

_LIMITS = Limits(connect=5.0, read=5.0, whole=20.0, max_bytes=256 * 1024 * 1024)
_API = "/api/v1/"
_NO_ROWS: Document = {"workloads": ()}


class UrlSource:
    """Asks the API of an exporter. Raises UsageError, when made, for what can never work."""

    waits = False
    measures = False

    def __init__(self, access: Access) -> None:
        self.url = base_url(access.url)
        self._headers = {"Accept-Encoding": "gzip", **access.headers()}
        self._manager = replace(access, url=self.url).open_manager()
        self._last: Frame | None = None

    def read(self) -> Frame:
        """The exporter's last tick: the same frame, with its age, until there is a new one."""
        try:
            self._last = self._next(self._get("status"))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise Unanswered(f"{self.url} does not answer as podjoule does ({_spelt(error)})") from error
        return self._last

    def close(self) -> None:
        """Let go of the connection."""
        self._manager.clear()

    def _next(self, status: Document) -> Frame:
        last = self._last
        if last and (status["tick"]["number"], status["started"]) == (last.number, last.started):
            return replace(make_frame(status, _NO_ROWS), rows=last.rows)
        workloads = self._get("workloads")
        # A tick came in between: watts and shares of one frame are of one tick.
        if workloads["tick"] != status["tick"]["number"]:
            status = self._get("status")
        return make_frame(status, workloads)

    def _get(self, name: str) -> Document:
        url = f"{self.url}{_API}{name}"
        body = self._fetch(url)
        try:
            document = json.loads(body, parse_constant=_refuse)
        except (ValueError, RecursionError):
            raise Unanswered(f"{url}: wanted JSON, found {body[:40]!r}; is it podjoule?") from None
        if not isinstance(document, dict):
            raise Unanswered(f"{url}: wanted a JSON object; is it podjoule?")
        return document

    def _fetch(self, url: str) -> bytes:
        try:
            return get(self._manager, url, self._headers, _LIMITS)
        except RequestFailed as failed:
            raise Unanswered(_said(self.url, failed)) from None


def base_url(text: str) -> str:
    """The address that the API's paths are appended to. Raises UsageError."""
    url = text if "://" in text else f"http://{text}"
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or parts.query or parts.fragment or not url.isprintable() or " " in url:
        raise UsageError(
            f"--url: found {text!r}; wanted the address of podjoule, such as http://node-1:28283"
        )
    if parts.username is not None or parts.password is not None:
        raise UsageError(
            "--url: holds a user; give --user and --password-file, which no list of processes shows"
        )
    return url.rstrip("/").removesuffix("/metrics").rstrip("/")


def _said(url: str, failed: RequestFailed) -> str:
    if failed.status in (401, 403):
        return f"{url} answers {failed.status}: give --user and --password-file"
    if failed.status == 404:
        return f"{url} has no {_API}; is it podjoule?"
    if failed.status == 503:
        return f"{url} has started; its first measurement is not done yet"
    if failed.kind == "tls":
        return f"{url}: certificate not trusted: {failed}; --ca-file names its authority"
    if failed.kind in ("unreachable", "cut", "unusable"):
        return f"{url} cannot be reached: {failed}"
    return f"{url}: {failed}"


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


def _spelt(error: Exception) -> str:
    return f"{type(error).__name__} {error}"
