"""One request to a provider of grid data: JSON comes back, or an error with a reason that can be counted."""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from http.client import HTTPException, HTTPMessage, HTTPResponse
from typing import IO
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, HTTPSHandler, OpenerDirector, Request, build_opener

from ebpf.errors import PodjouleError
from ebpf.version import VERSION

TIMEOUT_SECONDS = 10.0  # for each step of a request
DEADLINE_SECONDS = 30.0  # for the whole of an answer that comes drop by drop
MAX_BYTES = 1024 * 1024
MAX_RETRY_AFTER_SECONDS = 86_400.0

REASONS = (
    *("token", "timeout", "unreachable", "tls", "redirect"),
    *("unauthorized", "rate_limited", "status", "malformed", "out_of_range", "internal"),
)


class GridError(PodjouleError):
    """A provider gave no usable value. reason: one of REASONS. The message never holds a secret."""

    def __init__(self, reason: str, message: str, retry_after_seconds: float = 0.0) -> None:
        super().__init__(message)
        self.reason = reason
        self.retry_after_seconds = retry_after_seconds


class GridClient:
    """GET requests with verified TLS and short timeouts; a redirect to another host is refused.

    A proxy is taken from the environment (HTTPS_PROXY), further CA certificates from SSL_CERT_FILE.
    """

    def __init__(self, timeout_seconds: float = TIMEOUT_SECONDS, deadline_seconds: float = DEADLINE_SECONDS):
        self._timeout, self._deadline = timeout_seconds, deadline_seconds
        self._opener: OpenerDirector | None = None

    def get_json(self, url: str, headers: Mapping[str, str]) -> object:
        """What the address answers, parsed. Raises GridError."""
        body = self._get(url, headers)
        try:
            return json.loads(body)
        except (ValueError, RecursionError):
            raise GridError("malformed", f"{_shown(url)}: wanted JSON, found {body[:40]!r}") from None

    def _get(self, url: str, headers: Mapping[str, str]) -> bytes:
        sent = {"Accept": "application/json", "User-Agent": f"podjoule/{VERSION}", **headers}
        request = Request(url, headers=sent)  # noqa: S310  the configuration takes http and https alone
        # Tests and operators may change the environment's certificates before the first request.
        self._opener = self._opener or build_opener(
            _SameHost(), HTTPSHandler(context=ssl.create_default_context())
        )
        try:
            with self._opener.open(request, timeout=self._timeout) as response:
                return self._read(url, response)
        except HTTPError as error:
            with error:
                raise _of_status(url, error) from None
        except (OSError, HTTPException) as error:
            raise _of_connection(url, error) from None

    def _read(self, url: str, response: HTTPResponse) -> bytes:
        began, body = time.monotonic(), b""
        while chunk := response.read1(65_536):
            body += chunk
            if len(body) > MAX_BYTES:
                raise GridError("malformed", f"{_shown(url)}: wanted at most {MAX_BYTES} bytes, found more")
            if time.monotonic() - began > self._deadline:
                raise GridError("timeout", f"{_shown(url)}: not whole after {self._deadline:g} s")
        return body


class _SameHost(HTTPRedirectHandler):
    """Follows a redirect only where it stays on the host: the token must go nowhere else."""

    def redirect_request(
        self,
        req: Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> Request | None:
        """See HTTPRedirectHandler. Raises GridError for another scheme, host or port."""
        here, there = urlsplit(req.full_url), urlsplit(newurl)
        if (here.scheme, here.netloc) != (there.scheme, there.netloc):
            fp.close()
            raise GridError(
                "redirect", f"{_shown(req.full_url)}: redirects to {there.netloc}; set carbon.url to that"
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _of_status(url: str, error: HTTPError) -> GridError:
    reason = {401: "unauthorized", 403: "unauthorized", 429: "rate_limited"}.get(error.code, "status")
    if 300 <= error.code < 400:
        reason = "redirect"
    mend = "; look at carbon.tokenFile and what the token may see" if reason == "unauthorized" else ""
    retry_after = _retry_after(error.headers.get("Retry-After", ""))
    return GridError(reason, f"{_shown(url)}: answered {error.code} {error.reason}{mend}", retry_after)


def _of_connection(url: str, error: Exception) -> GridError:
    cause = error.reason if isinstance(error, URLError) else error
    if isinstance(cause, TimeoutError):
        return GridError("timeout", f"{_shown(url)}: no answer in time")
    if isinstance(cause, ssl.SSLError):
        return GridError("tls", f"{_shown(url)}: TLS failed: {cause}; SSL_CERT_FILE names another CA")
    return GridError("unreachable", f"{_shown(url)}: {type(cause).__name__}: {cause}")


def _retry_after(text: str) -> float:
    """Seconds or an HTTP date, RFC 9110 section 10.2.3; 0 for neither, at most a day."""
    try:
        seconds = (
            float(text)
            if text.strip().isascii() and text.strip().isdigit()
            else parsedate_to_datetime(text).timestamp() - time.time()
        )
    except (ValueError, TypeError, OverflowError):
        return 0.0
    return min(max(0.0, seconds), MAX_RETRY_AFTER_SECONDS)


def _shown(url: str) -> str:
    """The address without its query."""
    return url.partition("?")[0]
