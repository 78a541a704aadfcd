"""Frames from a running exporter, over HTTP."""

from __future__ import annotations

import base64
import gzip
import json
import ssl
import time
import zlib
from dataclasses import dataclass, replace
from http.client import HTTPException, HTTPResponse
from io import BytesIO
from pathlib import Path
from typing import NoReturn
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPSHandler, Request, build_opener

from ebpf.errors import UsageError
from ebpf.version import VERSION
from exporter.top.frame import Document, Frame, Unanswered, make_frame

_TIMEOUT_SECONDS, _DEADLINE_SECONDS = 5.0, 20.0
_MAX_BYTES = 256 * 1024 * 1024
_API = "/api/v1/"
_NO_ROWS: Document = {"workloads": ()}


@dataclass(frozen=True, slots=True)
class Access:
    """How an exporter is reached. user: "" for no password; ca_file: None for the system's authorities."""

    url: str
    user: str = ""
    password_file: Path | None = None
    ca_file: Path | None = None


class UrlSource:
    """Asks the API of an exporter. Raises UsageError, when made, for what can never work."""

    waits = False
    measures = False

    def __init__(self, access: Access) -> None:
        self.url = base_url(access.url)
        self._authorization = _authorization(access)
        self._opener = build_opener(HTTPSHandler(context=_tls(access.ca_file)))
        self._last: Frame | None = None

    def read(self) -> Frame:
        """The exporter's last tick: the same frame, with its age, until there is a new one."""
        try:
            self._last = self._next(self._get("status"))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise Unanswered(f"{self.url} does not answer as podjoule does ({_spelt(error)})") from error
        return self._last

    def close(self) -> None:
        """There is nothing open between two reads."""

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
        headers = {
            "Accept": "application/json",
            "Accept-Encoding": "gzip",
            "User-Agent": f"podjoule/{VERSION}",
        }
        request = Request(url, headers=headers)  # noqa: S310  base_url takes http and https alone
        if self._authorization:
            # Unlike other headers it does not follow a redirect to wherever that leads.
            request.add_unredirected_header("Authorization", self._authorization)
        try:
            with self._opener.open(request, timeout=_TIMEOUT_SECONDS) as response:
                return _unpacked(response, _read(url, response))
        except HTTPError as error:
            with error:
                raise Unanswered(_refused(self.url, error)) from None
        except (OSError, HTTPException, EOFError, zlib.error) as error:
            raise Unanswered(_unreachable(self.url, error)) from None


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


def _authorization(access: Access) -> str:
    if bool(access.user) != (access.password_file is not None):
        raise UsageError("--user and --password-file go together; one of them is missing")
    if access.password_file is None:
        return ""
    if ":" in access.user:
        raise UsageError("--user: a user of HTTP basic authentication holds no colon")
    try:
        password = access.password_file.read_text().rstrip("\r\n")
    except (OSError, ValueError) as error:
        raise UsageError(f"--password-file {access.password_file}: cannot be read: {error}") from None
    return "Basic " + base64.b64encode(f"{access.user}:{password}".encode()).decode()


def _tls(ca_file: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:  # also ssl.SSLError
        raise UsageError(f"--ca-file {ca_file}: no certificates can be read from it: {error}") from None


def _read(url: str, response: HTTPResponse) -> bytes:
    began, chunks, size = time.monotonic(), [], 0
    while chunk := response.read1(65_536):
        chunks.append(chunk)
        size += len(chunk)
        if size > _MAX_BYTES or time.monotonic() - began > _DEADLINE_SECONDS:
            raise Unanswered(f"{url}: not whole after {size} bytes and {time.monotonic() - began:.0f} s")
    return b"".join(chunks)


def _unpacked(response: HTTPResponse, body: bytes) -> bytes:
    if response.headers.get("Content-Encoding") != "gzip":
        return body
    with gzip.GzipFile(fileobj=BytesIO(body)) as packed:
        whole = packed.read(_MAX_BYTES + 1)
    if len(whole) > _MAX_BYTES:
        raise Unanswered(f"the answer has more than {_MAX_BYTES} bytes")
    return whole


def _refused(url: str, error: HTTPError) -> str:
    if error.code in (401, 403):
        return f"{url} answers {error.code}: give --user and --password-file"
    if error.code == 404:
        return f"{url} has no {_API}; is it podjoule?"
    if error.code == 503:
        return f"{url} has started; its first measurement is not done yet"
    return f"{url} answers {error.code} {error.reason}"


def _unreachable(url: str, error: Exception) -> str:
    cause = error.reason if isinstance(error, URLError) else error
    if isinstance(cause, TimeoutError):
        return f"{url} does not answer within {_TIMEOUT_SECONDS:.0f} s"
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"{url}: certificate not trusted: {cause.verify_message}; --ca-file names its authority"
    why = cause.strerror if isinstance(cause, OSError) and cause.strerror else cause
    return f"{url} cannot be reached: {why}"


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


def _spelt(error: Exception) -> str:
    return f"{type(error).__name__} {error}"
