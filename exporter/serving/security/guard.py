"""Who may ask, how often, and which headers every answer carries."""

from __future__ import annotations

import asyncio
import base64
import binascii
import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from exporter.serving.page.responses import Response
from exporter.serving.security.passwords import Passwords, Verdict
from exporter.serving.security.toolkit_file import Rate, WebConfig

# Probes stay open and unlimited, unlike exporter-toolkit's: the kubelet has no password unless the pod's
# manifest holds it for all to read, and a probe that fails restarts the pod. They tell nothing but whether
# ticks go on.
OPEN_PATHS = frozenset({"/-/healthy", "/-/ready"})


def _refusal(status: str, reason: str, *headers: tuple[str, str]) -> Response:
    safe = (("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff"))
    return Response(status, f"{status[4:]}: {reason}\n".encode(), headers=(*safe, *headers))


_PATIENCE_SECONDS = 5.0  # half of what a request has
_SOON = ("Retry-After", "1")
_RATE_REACHED = _refusal("429 Too Many Requests", "rate_limit is reached", _SOON)
_BUSY = _refusal("429 Too Many Requests", "too many passwords to check", _SOON)
_WHO = _refusal(
    "401 Unauthorized",
    "give a user name and a password",
    ("WWW-Authenticate", 'Basic realm="podjoule", charset="UTF-8"'),
)


class Guard:
    """What a configuration lets in. current: the one in force, asked at each request, in the loop alone."""

    def __init__(
        self,
        current: Callable[[], WebConfig],
        passwords: Passwords | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._current = current
        self._passwords = passwords or Passwords()
        self._bucket = _Bucket(clock)

    async def refuse(self, environ: Mapping[str, str]) -> Response | None:
        """See http.answering.Guard."""
        config = self._current()
        if environ["PATH_INFO"] in OPEN_PATHS:
            return None
        if config.rate and not self._bucket.take(config.rate):
            return _RATE_REACHED
        if not config.users:
            return None
        given = credentials(environ.get("HTTP_AUTHORIZATION", ""))
        if given is None:
            return _WHO
        asked = self._passwords.ask(config.users, *given, environ["REMOTE_ADDR"])
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                verdict = await asyncio.wrap_future(asked)
        except TimeoutError:
            return _BUSY
        return {Verdict.BUSY: _BUSY, Verdict.REFUSED: _WHO}.get(verdict)

    def dress(self, response: Response) -> Response:
        """The answer with what is configured in the place of ours."""
        configured = self._current().headers
        replaced = {name.lower() for name, _ in configured}
        kept = (each for each in response.headers if each[0].lower() not in replaced)
        return replace(response, headers=(*kept, *configured))


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
        self._rate: Rate | None = None
        self._tokens = 0.0
        self._filled = 0.0

    def take(self, rate: Rate) -> bool:
        """Whether one more request may pass."""
        now = self._clock()
        if rate != self._rate:
            self._rate, self._tokens, self._filled = rate, float(rate.burst), now
        gained = (now - self._filled) / rate.interval_seconds
        self._tokens, self._filled = min(float(rate.burst), self._tokens + gained), now
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True
