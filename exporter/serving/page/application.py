"""What is served: /metrics, /-/healthy, /-/ready, the page at / and the API behind it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from exporter.metrics.negotiation import Form, RenderedPage, negotiate
from exporter.serving.api.view import View
from exporter.serving.http.lanes import Effort
from exporter.serving.page.landing import landing
from exporter.serving.page.responses import OK, UNAVAILABLE, Response
from exporter.serving.page.ui_files import UiFiles
from exporter.serving.publisher import TickPage

if TYPE_CHECKING:
    from exporter.serving.api.routes import Api

Environ = Mapping[str, str]


class Published(Protocol):
    """What the tick shows to the web; read from many threads."""

    @property
    def page(self) -> RenderedPage | None:
        """What the last tick rendered; None until the first is done."""

    def healthy(self) -> str | None:
        """None while the tick is alive, else the reason why it is not."""


NOT_YET = Response(UNAVAILABLE, b"The first tick is not done yet.\n", headers=(("Retry-After", "1"),))
NOT_FOUND = Response("404 Not Found", b"Not here. See / for what there is.\n")
NOT_ALLOWED = Response("405 Method Not Allowed", b"Use GET or HEAD.\n", headers=(("Allow", "GET, HEAD"),))

_API, _UI = "/api/v1/", "/ui/"

_SAFETY = (
    (
        "Content-Security-Policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
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
        self._files = UiFiles()
        self._template = self._files.text("index.html")
        self._routes: dict[str, Callable[[Environ], Response]] = {
            "/": self._landing,
            "/metrics": self._metrics,
            "/-/healthy": self._healthy,
            "/-/ready": self._ready,
        }

    def effort(self, environ: Environ) -> Effort:
        """See http.answering.Application."""
        path, page = environ["PATH_INFO"], self._published.page
        if path == "/" or path.startswith(_API):
            return Effort.DOCUMENT
        if path == "/metrics" and page is not None and not page.has(_form(environ)):
            return Effort.SCRAPE
        return Effort.SCRAPE if path.startswith("/-/") else Effort.NONE

    def respond(self, environ: Environ) -> Response:
        """The answer to one request, with the headers that keep browsers safe."""
        response = self._respond(environ)
        own = {name for name, _ in response.headers}
        safety = tuple(each for each in _SAFETY if each[0] not in own)
        return replace(response, headers=(*response.headers, *safety))

    def _respond(self, environ: Environ) -> Response:
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return NOT_ALLOWED
        path = environ["PATH_INFO"]
        if route := self._routes.get(path):
            return route(environ)
        if path.startswith(_API):
            return self._api.respond(path[len(_API) :], environ, self._view, self._published.healthy())
        if path.startswith(_UI):
            return self._files.respond(path[len(_UI) :], environ.get("HTTP_IF_NONE_MATCH"))
        return NOT_FOUND

    @cached_property
    def _api(self) -> Api:
        """Made when first asked, by the one thread that writes documents: most nodes are only scraped."""
        from exporter.serving.api.routes import Api

        return Api(self._files)

    @property
    def _view(self) -> View | None:
        page = self._published.page
        return page.view if isinstance(page, TickPage) else None

    def _landing(self, _environ: Environ) -> Response:
        return landing(self._template, self._view)

    def _metrics(self, environ: Environ) -> Response:
        page = self._published.page
        if page is None:
            return NOT_YET
        form = _form(environ)
        encoding = (("Content-Encoding", "gzip"),) if form.gzip else ()
        headers = (("Vary", "Accept, Accept-Encoding"), *encoding)
        return Response(OK, page.body(form.openmetrics, form.gzip), form.content_type, headers)

    def _healthy(self, _environ: Environ) -> Response:
        reason = self._published.healthy()
        return Response(OK, b"healthy\n") if reason is None else Response(UNAVAILABLE, f"{reason}\n".encode())

    def _ready(self, _environ: Environ) -> Response:
        return NOT_YET if self._published.page is None else Response(OK, b"ready\n")


def _form(environ: Environ) -> Form:
    return negotiate(environ.get("HTTP_ACCEPT"), environ.get("HTTP_ACCEPT_ENCODING"))
