"""One tick's page as it is served: every form of it is computed at most once, however many scrape."""

from __future__ import annotations

import gzip
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Generic, TypeVar

from exporter.metrics.compression import compress

T = TypeVar("T")

TEXT_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
TEXT_1_0_CONTENT_TYPE = "text/plain; version=1.0.0; charset=utf-8"
OPENMETRICS_CONTENT_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"

_WEIGHT = re.compile(r"[0-9]+\.?[0-9]*|\.[0-9]+")


@dataclass(frozen=True, slots=True)
class Form:
    """The form of a page that a client asked for."""

    content_type: str
    openmetrics: bool
    gzip: bool


class RenderedPage:
    """One immutable snapshot of all families, rendered when it is first asked for. From any thread.

    render: the page as text, or where it is given True in OpenMetrics; asked at most once for each. What it
    raises, whoever asks is told.
    """

    def __init__(self, render: Callable[[bool], bytes]) -> None:
        self._formats = tuple(_Format(partial(render, openmetrics)) for openmetrics in (False, True))

    def has(self, form: Form) -> bool:
        """Whether the page is there in that form, so that it costs nothing."""
        return self._formats[form.openmetrics].found(form.gzip) is not None

    def body(self, openmetrics: bool = False, gzip: bool = False) -> bytes:
        """The page in one of its four forms."""
        return self._formats[openmetrics].body(gzip)


class _Format:
    """A page in one format. What is asked for compressed is kept as that alone, a tenth of its size."""

    def __init__(self, render: Callable[[], bytes]) -> None:
        self._render = render
        self._lock = threading.Lock()
        self._plain: bytes | None = None
        self._packed: bytes | None = None

    def found(self, is_packed: bool) -> bytes | None:
        """What is there; None until it has been asked for."""
        return self._packed if is_packed else self._plain

    def body(self, is_packed: bool) -> bytes:
        """Made by whoever asks first, while the others wait."""
        if (body := self.found(is_packed)) is None:
            with self._lock:
                if (body := self.found(is_packed)) is None:
                    body = self._made(is_packed)
        return body

    def _made(self, is_packed: bool) -> bytes:
        if is_packed:
            body = self._packed = compress(self._text())
        else:
            body = self._plain = self._text()
        self._render = bytes  # what it was made from is held no longer
        return body

    def _text(self) -> bytes:
        if self._plain is not None:
            return self._plain
        if self._packed is not None:
            return gzip.decompress(self._packed)
        return self._render()


class Once(Generic[T]):
    """A value computed by whoever needs it first; the others wait for that one. From any thread."""

    __slots__ = ("_compute", "_lock", "_value")

    def __init__(self, compute: Callable[[], T]) -> None:
        self._compute: Callable[[], T] | None = compute
        self._lock = threading.Lock()
        self._value: T

    def get(self) -> T:
        """The value; raises what computing it raises, each time anew."""
        if self._compute is not None:
            with self._lock:
                compute = self._compute
                if compute is not None:
                    self._value = compute()
                    self._compute = None  # what it was made from is held no longer
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
