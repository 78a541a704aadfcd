"""One tick's page as it is served: every form of it is computed at most once, however many scrape."""

from __future__ import annotations

import gzip
import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from exporter.metrics.exposition import Block, join

TEXT_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
TEXT_1_0_CONTENT_TYPE = "text/plain; version=1.0.0; charset=utf-8"
OPENMETRICS_CONTENT_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"

_WEIGHT = re.compile(r"[0-9]+\.?[0-9]*|\.[0-9]+")
# Level 1 takes a third of level 9's time for a tenth more bytes; the page lives for one tick.
_GZIP_LEVEL = 1


@dataclass(frozen=True, slots=True)
class Form:
    """The form of a page that a client asked for."""

    content_type: str
    openmetrics: bool
    gzip: bool


class RenderedPage:
    """One immutable snapshot of all families. May be asked from any thread."""

    def __init__(self, blocks: Sequence[Block]) -> None:
        kept = tuple(blocks)
        # Locals, not self, in the lambdas: a page in a reference cycle would outlive its tick by many.
        text = join(kept)
        openmetrics = _Once(lambda: join(kept, openmetrics=True))
        self._text = text
        self._text_gzip = _Once(lambda: _compress(text))
        self._openmetrics = openmetrics
        self._openmetrics_gzip = _Once(lambda: _compress(openmetrics.get()))

    def has(self, form: Form) -> bool:
        """Whether the page is there in that form, so that it costs nothing."""
        if form.openmetrics:
            return (self._openmetrics_gzip if form.gzip else self._openmetrics).is_there
        return self._text_gzip.is_there if form.gzip else True

    def body(self, openmetrics: bool = False, gzip: bool = False) -> bytes:
        """The page in one of its four forms; the text as it is was there from the start."""
        if openmetrics:
            return (self._openmetrics_gzip if gzip else self._openmetrics).get()
        return self._text_gzip.get() if gzip else self._text


class _Once:
    """A value computed by whoever needs it first; the others wait for that one."""

    __slots__ = ("_compute", "_lock", "_value")

    def __init__(self, compute: Callable[[], bytes]) -> None:
        self._compute = compute
        self._lock = threading.Lock()
        self._value: bytes | None = None

    @property
    def is_there(self) -> bool:
        return self._value is not None

    def get(self) -> bytes:
        value = self._value
        if value is not None:
            return value
        with self._lock:
            if self._value is None:
                self._value = self._compute()
            return self._value


@lru_cache(16)  # those who scrape ask the same each time
def negotiate(accept: str | None, accept_encoding: str | None) -> Form:
    """The form for a request's Accept and Accept-Encoding, RFC 9110, 12.5.

    The acceptable entry of the highest q wins, of two alike the first; for the rest it is what
    prometheus_client's choose_encoder finds. Two answers differ, since ours says what the bytes are:
    OpenMetrics is always 1.0.0, and escaping=dots (which would double every underscore) is underscores.
    """
    gzip_accepted = _accepts_gzip(accept_encoding or "")
    for media_type, parameters in _preferred(accept or ""):
        version = parameters.get("version", "")
        escaping = f"; escaping={_escaping(parameters)}" if _major(version) else ""
        if media_type == "application/openmetrics-text" and (escaping or not version):
            return Form(OPENMETRICS_CONTENT_TYPE + escaping, True, gzip_accepted)
        if media_type == "text/plain":
            return Form(
                TEXT_1_0_CONTENT_TYPE + escaping if escaping else TEXT_CONTENT_TYPE, False, gzip_accepted
            )
    return Form(TEXT_CONTENT_TYPE, False, gzip_accepted)


def _preferred(header: str) -> list[tuple[str, dict[str, str]]]:
    """Names and parameters of a header's entries, those that are wanted most first; none with q=0."""
    entries = [_parse(entry) for entry in header.split(",")]
    wanted = [(name, parameters) for name, parameters in entries if _q(parameters) > 0.0]
    return sorted(wanted, key=lambda entry: -_q(entry[1]))


def _parse(entry: str) -> tuple[str, dict[str, str]]:
    name, *parameters = entry.split(";")
    pairs = [text.split("=", 1) for text in parameters if "=" in text]
    return name.strip().lower(), {
        key.strip().lower(): value.strip().strip('"') for key, value in reversed(pairs)
    }


def _q(parameters: dict[str, str]) -> float:
    """How much an entry is wanted, 0 to 1; what is no number says nothing."""
    return min(float(found[0]), 1.0) if (found := _WEIGHT.fullmatch(parameters.get("q", ""))) else 1.0


def _major(version: str) -> int:
    major = version.split(".", 1)[0]
    return int(major) if major.isascii() and major.isdigit() and len(major) < 4 else 0


def _escaping(parameters: dict[str, str]) -> str:
    asked = parameters.get("escaping", "")
    return asked if asked in ("allow-utf-8", "values") else "underscores"


def _accepts_gzip(accept_encoding: str) -> bool:
    """Whether gzip is named, and not less wanted than a page as it is."""
    wanted = {name: _q(parameters) for name, parameters in _preferred(accept_encoding)}
    return wanted.get("gzip", 0.0) > 0.0 and wanted["gzip"] >= wanted.get("identity", 0.0)


def _compress(body: bytes) -> bytes:
    return gzip.compress(body, _GZIP_LEVEL, mtime=0)
