"""Every request over HTTP that podjoule makes: its time limits, sizes, redirects, certificates and proxies.

urllib3 is imported where it is first used: who asks nobody has neither its start-up time nor its memory.
"""

from __future__ import annotations

import contextlib
import json
import os
import ssl
import time
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from http.client import HTTPException
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urljoin, urlsplit

from ebpf.errors import PodjouleError
from ebpf.version import VERSION
from exporter.late_modules import late

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse, PoolManager

MAX_REDIRECTS = 5
_PIECE_BYTES = 64 * 1024
_SUCCESSES = range(200, 300)
_HEADERS = {"Accept": "application/json", "User-Agent": f"podjoule/{VERSION}"}


class RequestFailed(PodjouleError):
    """No usable answer. The message says why, but not whom was asked, and never holds a header or a query.

    kind: "unreachable", "cut", "timeout" or "tls" for the connection, "unusable" for an address or a header
    that cannot be sent, "redirect", "status" or "size" for the answer. status: of the answer, 0 without one.
    body: how the body of such a status begins, which may repeat what was asked.
    """

    def __init__(
        self, kind: str, message: str, status: int = 0, retry_after: str = "", body: bytes = b""
    ) -> None:
        super().__init__(message)
        self.kind, self.status, self.retry_after, self.body = kind, status, retry_after, body


@dataclass(frozen=True, slots=True)
class Tls:
    """How both sides show who they are.

    ca_file: None for the system's authorities and those of SSL_CERT_FILE. certificate, key: ours, where one
    is asked for. server_name: in place of the address's host. verify: False takes any certificate.
    """

    ca_file: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    server_name: str = ""
    verify: bool = True


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds for the connection, for the next byte and for the whole body; the bytes of that, unpacked."""

    connect: float = 5.0
    read: float = 10.0
    whole: float = 30.0
    max_bytes: int = 1024 * 1024


def open_manager(url: str, tls: Tls | None = None, proxy: str = "", **options: Any) -> PoolManager:
    """Connections to the host of `url`, through a proxy where one is given or the environment names one.

    options: of a urllib3 pool. Raises RequestFailed where certificates cannot be read.
    """
    with late("importlib.metadata", "version"):  # a megabyte, for an HTTP/2 that nobody asks for
        from urllib3 import PoolManager, ProxyManager
        from urllib3.util import make_headers, parse_url

    if tls is not None or urlsplit(url).scheme == "https":
        tls = tls or Tls()
        options |= {"ssl_context": _context(tls), "server_hostname": tls.server_name or None}
    proxy = _proxy(url, proxy)
    if not proxy:
        return PoolManager(maxsize=1, **options)
    user = parse_url(proxy).auth
    headers = make_headers(proxy_basic_auth=unquote(user)) if user else None
    return ProxyManager(proxy, maxsize=1, proxy_headers=headers, **options)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back with a status of success. headers: in any case."""

    headers: Mapping[str, str]
    body: bytes


def send(
    manager: PoolManager,
    url: str,
    headers: Mapping[str, str],
    limits: Limits,
    method: str = "GET",
    body: bytes | None = None,
) -> BaseHTTPResponse:
    """Once: the head of an answer, a redirect as well. Raises what `reason` understands."""
    from urllib3 import Timeout

    return manager.urlopen(
        method,
        url,
        body=body,
        headers={**_HEADERS, **headers},
        redirect=False,
        retries=False,
        preload_content=False,
        timeout=Timeout(connect=limits.connect, read=limits.read),
    )


def pieces(response: BaseHTTPResponse) -> Iterator[bytes]:
    """The body as it comes in, unpacked: no piece waits for the next."""
    return iter(lambda: response.read1(_PIECE_BYTES, decode_content=True), b"")


def get(manager: PoolManager, url: str, headers: Mapping[str, str], limits: Limits) -> bytes:
    """The whole body of an answer with status 200. Raises RequestFailed.

    A redirect is followed where it stays on the host: what `headers` hold must go nowhere else.
    """
    asked = url
    try:
        for _ in range(MAX_REDIRECTS + 1):
            with contextlib.closing(send(manager, asked, headers, limits)) as response:
                if not (location := response.get_redirect_location()):
                    return _whole(response, limits)
            asked = _moved(asked, location)
    except Exception as error:
        failed = reason(error)
        if failed is None:
            raise
        raise failed from None  # its context may hold what was sent
    raise RequestFailed("redirect", f"redirects more than {MAX_REDIRECTS} times")


def ask(
    manager: PoolManager,
    method: str,
    url: str,
    headers: Mapping[str, str],
    limits: Limits,
    body: bytes | None = None,
) -> Answer:
    """Another request than GET, once: a redirect is a failure. Raises RequestFailed."""
    try:
        with contextlib.closing(send(manager, url, headers, limits, method, body)) as response:
            return Answer(response.headers, _whole(response, limits, _SUCCESSES))
    except Exception as error:
        failed = reason(error)
        if failed is None:
            raise
        raise failed from None  # its context may hold what was sent


def reason(error: Exception) -> RequestFailed | None:
    """What an exception of urllib3 or of the system means; None: it is none of theirs."""
    from urllib3 import exceptions as u

    if isinstance(error, RequestFailed):
        return error
    if isinstance(error, u.ProxyError) and isinstance(error.original_error, Exception):
        return reason(error.original_error)
    for kind, types in (
        ("unreachable", u.NewConnectionError | u.ConnectTimeoutError),
        ("tls", u.SSLError | ssl.SSLError),
        ("timeout", u.TimeoutError | TimeoutError),
        ("unusable", u.LocationParseError | u.InvalidHeader | ValueError),
        ("cut", u.HTTPError | HTTPException | OSError),
    ):
        if isinstance(error, types):
            # Of what cannot be sent the text may hold a header.
            return RequestFailed(kind, type(error).__name__ if kind == "unusable" else _told(error))
    return None


def retry_after_seconds(text: str, most: float) -> float:
    """Seconds or an HTTP date, RFC 9110 section 10.2.3; 0 for neither, at most `most`."""
    from urllib3 import Retry
    from urllib3.exceptions import InvalidHeader

    try:
        return float(min(most, Retry().parse_retry_after(text)))
    except (InvalidHeader, ValueError, TypeError, OverflowError):
        return 0.0


def _whole(response: BaseHTTPResponse, limits: Limits, successes: Container[int] = (200,)) -> bytes:
    if response.status not in successes:
        said = f"answered {response.status} {response.reason}"
        kind = "redirect" if 300 <= response.status < 400 else "status"
        again = response.headers.get("Retry-After", "")
        raise RequestFailed(kind, said, response.status, again, _beginning(response))
    end, body = time.monotonic() + limits.whole, bytearray()
    for piece in pieces(response):
        body += piece
        if len(body) > limits.max_bytes:
            raise RequestFailed("size", f"wanted at most {limits.max_bytes} bytes, found more")
        if time.monotonic() > end:
            raise RequestFailed("timeout", f"not whole after {limits.whole:g} s")
    return bytes(body)


def _beginning(response: BaseHTTPResponse) -> bytes:
    """The first piece of a body that may fail to come."""
    try:
        return next(pieces(response), b"")
    except Exception as error:
        if reason(error) is None:
            raise
        return b""


def _moved(url: str, location: str) -> str:
    there = urljoin(url, location)
    if urlsplit(there)[:2] != urlsplit(url)[:2]:
        scheme, host = urlsplit(there)[:2]
        raise RequestFailed("redirect", f"redirects to {scheme}://{host.rpartition('@')[2]}")
    return there


def _context(tls: Tls) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=tls.ca_file)
        if tls.certificate:
            context.load_cert_chain(tls.certificate, tls.key)
    except OSError as error:  # also ssl.SSLError
        raise RequestFailed("tls", f"no certificates can be read: {_told(error)}") from None
    if not tls.verify:
        import urllib3

        # Whoever allows that says so once, in words of its own.
        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _proxy(url: str, given: str) -> str:
    """The proxy for an address; "" for none. NO_PROXY names hosts, domains and networks, as in clusters."""
    if not given and not any(name.lower().endswith("_proxy") for name in os.environ):
        return ""
    from urllib.request import getproxies, proxy_bypass

    proxies, parts = getproxies(), urlsplit(url)
    proxy = given or proxies.get(parts.scheme) or proxies.get("all", "")
    spared = proxies.get("no", "")
    if not proxy or proxy_bypass(parts.netloc, proxies) or _is_within(parts.hostname, spared):
        return ""
    return proxy if "://" in proxy else f"http://{proxy}"


def _is_within(host: str | None, networks: str) -> bool:
    with contextlib.suppress(ValueError):  # a name rather than an address, or what is no network
        address = ip_address(host or "")
        return any(
            address in ip_network(each.strip(), strict=False) for each in networks.split(",") if "/" in each
        )
    return False


def _told(error: BaseException) -> str:
    """The innermost cause, as one printable line."""
    inner = error.__cause__ or next((arg for arg in error.args if isinstance(arg, Exception)), None)
    if inner is not None:
        return _told(inner)
    text = getattr(error, "verify_message", None) or getattr(error, "strerror", None) or str(error)
    return json.dumps(text or type(error).__name__, ensure_ascii=False)[1:301].removesuffix('"')
