"""The WSGI application: /metrics, /-/healthy, /-/ready and a small page that leads to them."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from ebpf.version import VERSION
from exporter.page import RenderedPage, negotiate

Environ = Mapping[str, Any]
Headers = list[tuple[str, str]]
StartResponse = Callable[[str, Headers], object]


class Published(Protocol):
    """What the tick shows to the web; read from many threads."""

    @property
    def page(self) -> RenderedPage | None:
        """What the last tick rendered; None until the first is done."""

    def healthy(self) -> str | None:
        """None while the tick is alive, else the reason why it is not."""


@dataclass(frozen=True, slots=True)
class Response:
    """What is sent back; status as "200 OK"."""

    status: str
    body: bytes
    content_type: str = "text/plain; charset=utf-8"
    headers: tuple[tuple[str, str], ...] = ()


OK = "200 OK"
UNAVAILABLE = "503 Service Unavailable"
NOT_YET = Response(UNAVAILABLE, b"The first tick is not done yet.\n", headers=(("Retry-After", "1"),))
NOT_FOUND = Response("404 Not Found", b"Not here. See / for what there is.\n")
NOT_ALLOWED = Response("405 Method Not Allowed", b"Use GET or HEAD.\n", headers=(("Allow", "GET, HEAD"),))

_STYLE = """
:root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif; }
body { margin: 3rem auto; max-width: 40rem; padding: 0 1rem; }
dt { margin-top: .75rem; }
"""

_LANDING = f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>podjoule</title>
<style>{_STYLE}</style>
</head>
<body>
<main>
<h1>podjoule</h1>
<p>Joules per pod, from the Linux kernel to Prometheus. Version {VERSION}.</p>
<dl>
<dt><a href="/metrics">/metrics</a></dt><dd>what the last tick measured, for Prometheus to scrape</dd>
<dt><a href="/-/healthy">/-/healthy</a></dt><dd>200 while ticks go on, for a liveness probe</dd>
<dt><a href="/-/ready">/-/ready</a></dt><dd>200 once the first tick is done, for a readiness probe</dd>
</dl>
</main>
</body>
</html>
"""

_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_SAFETY = (
    (
        "Content-Security-Policy",
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cache-Control", "no-store"),
)


class Application:
    """Serves what is published. A request never causes a measurement, and a probe never consumes anything."""

    def __init__(self, published: Published) -> None:
        self._published = published
        self._routes: dict[str, Callable[[Environ], Response]] = {
            "/": _landing,
            "/metrics": self._metrics,
            "/-/healthy": self._healthy,
            "/-/ready": self._ready,
        }

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """One request, as PEP 3333 has it."""
        response = self._respond(environ)
        start_response(response.status, _headers(response))
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [response.body]

    def _respond(self, environ: Environ) -> Response:
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return NOT_ALLOWED
        route = self._routes.get(environ["PATH_INFO"])
        return route(environ) if route else NOT_FOUND

    def _metrics(self, environ: Environ) -> Response:
        page = self._published.page
        if page is None:
            return NOT_YET
        form = negotiate(environ.get("HTTP_ACCEPT"), environ.get("HTTP_ACCEPT_ENCODING"))
        encoding = (("Content-Encoding", "gzip"),) if form.gzip else ()
        headers = (("Vary", "Accept, Accept-Encoding"), *encoding)
        return Response(OK, page.body(form.openmetrics, form.gzip), form.content_type, headers)

    def _healthy(self, _environ: Environ) -> Response:
        reason = self._published.healthy()
        return Response(OK, b"healthy\n") if reason is None else Response(UNAVAILABLE, f"{reason}\n".encode())

    def _ready(self, _environ: Environ) -> Response:
        return NOT_YET if self._published.page is None else Response(OK, b"ready\n")


def _landing(_environ: Environ) -> Response:
    return Response(OK, _LANDING.encode(), "text/html; charset=utf-8")


def _headers(response: Response) -> Headers:
    described = (("Content-Type", response.content_type), ("Content-Length", str(len(response.body))))
    return [*described, *response.headers, *_SAFETY]
