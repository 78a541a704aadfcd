"""WSGI middleware: who may ask, how often, and which headers every answer carries."""

from __future__ import annotations

import base64
import binascii
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from exporter.web.config_file import Rate, WebConfig
from exporter.web.passwords import Passwords, Verdict
from exporter.web.reply import WsgiApplication

# Probes stay open and unlimited, unlike exporter-toolkit's: the kubelet has no password unless the pod's
# manifest holds it for all to read, and a probe that fails restarts the pod. They tell nothing but whether
# ticks go on.
OPEN_PATHS = frozenset({"/-/healthy", "/-/ready"})

_REALM = ("WWW-Authenticate", 'Basic realm="podjoule", charset="UTF-8"')
_SOON = ("Retry-After", "1")


class Guard:
    """An application behind a configuration. current: the one in force, asked at each request."""

    def __init__(
        self,
        application: WsgiApplication,
        current: Callable[[], WebConfig],
        passwords: Passwords | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._application = application
        self._current = current
        self._passwords = passwords or Passwords()
        self._bucket = _Bucket(clock)

    def __call__(self, environ: Mapping[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """One request, as PEP 3333 has it."""
        config = self._current()

        def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            return start_response(status, _with(config.headers, headers), *rest)

        if environ["PATH_INFO"] not in OPEN_PATHS:
            if config.rate and not self._bucket.take(config.rate):
                return _refuse(start, "429 Too Many Requests", "rate_limit is reached", _SOON)
            if config.users:
                verdict = self._judge(environ, config.users)
                if verdict is Verdict.BUSY:
                    return _refuse(start, "429 Too Many Requests", "too many passwords to check", _SOON)
                if verdict is Verdict.REFUSED:
                    return _refuse(start, "401 Unauthorized", "give a user name and a password", _REALM)
        return self._application(environ, start)

    def _judge(self, environ: Mapping[str, Any], users: Mapping[str, bytes]) -> Verdict:
        given = credentials(environ.get("HTTP_AUTHORIZATION", ""))
        if given is None:
            return Verdict.REFUSED
        return self._passwords.judge(users, *given, environ["REMOTE_ADDR"])


def credentials(authorization: str) -> tuple[str, bytes] | None:
    """User and password of an Authorization header, RFC 7617; None where it holds none."""
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
        return (user.decode(), password) if colon else None
    except (binascii.Error, ValueError):
        return None


class _Bucket:
    """A token bucket, https://en.wikipedia.org/wiki/Token_bucket, full at the start."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._rate: Rate | None = None
        self._tokens = 0.0
        self._filled = 0.0

    def take(self, rate: Rate) -> bool:
        """Whether one more request may pass."""
        with self._lock:
            now = self._clock()
            if rate != self._rate:
                self._rate, self._tokens, self._filled = rate, float(rate.burst), now
            gained = (now - self._filled) / rate.interval_seconds
            self._tokens, self._filled = min(float(rate.burst), self._tokens + gained), now
            if self._tokens < 1.0:
                return False
            self._tokens -= 1.0
            return True


def _with(configured: tuple[tuple[str, str], ...], headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """What is configured takes the place of ours."""
    if not configured:
        return headers
    replaced = {name.lower() for name, _ in configured}
    return [*(header for header in headers if header[0].lower() not in replaced), *configured]


def _refuse(start: Callable[..., Any], status: str, reason: str, header: tuple[str, str]) -> Iterable[bytes]:
    body = f"{status[4:]}: {reason}\n".encode()
    told = [
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Content-Length", str(len(body))),
        ("Cache-Control", "no-store"),
        ("X-Content-Type-Options", "nosniff"),
        header,
    ]
    start(status, told)
    return [body]
