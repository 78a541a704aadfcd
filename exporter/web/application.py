"""The WSGI application: /metrics, /-/healthy, /-/ready, the page at / and the API behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from exporter.api.routes import PREFIX, Api
from exporter.api.view import View
from exporter.page import RenderedPage, negotiate
from exporter.tick_page import TickPage
from exporter.web.landing import landing
from exporter.web.responses import NOT_MODIFIED, OK, UNAVAILABLE, Response
from exporter.web.ui_files import UiFiles

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


NOT_YET = Response(UNAVAILABLE, b"The first tick is not done yet.\n", headers=(("Retry-After", "1"),))
NOT_FOUND = Response("404 Not Found", b"Not here. See / for what there is.\n")
NOT_ALLOWED = Response("405 Method Not Allowed", b"Use GET or HEAD.\n", headers=(("Allow", "GET, HEAD"),))

_UI = "/ui/"

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
        self._api = Api(self._files)
        self._template = self._files.text("index.html")
        self._routes: dict[str, Callable[[Environ], Response]] = {
            "/": self._landing,
            "/metrics": self._metrics,
            "/-/healthy": self._healthy,
            "/-/ready": self._ready,
        }

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """One request, as PEP 3333 has it."""
        response = self._respond(environ)
        start_response(response.status, _headers(response))
        is_head = environ["REQUEST_METHOD"] == "HEAD" or response.status == NOT_MODIFIED
        return [] if is_head else [response.body]

    def _respond(self, environ: Environ) -> Response:
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return NOT_ALLOWED
        path = environ["PATH_INFO"]
        if route := self._routes.get(path):
            return route(environ)
        if path.startswith(PREFIX):
            return self._api.respond(path[len(PREFIX) :], environ, self._view, self._published.healthy())
        if path.startswith(_UI):
            return self._files.respond(path[len(_UI) :], environ.get("HTTP_IF_NONE_MATCH"))
        return NOT_FOUND

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
        form = negotiate(environ.get("HTTP_ACCEPT"), environ.get("HTTP_ACCEPT_ENCODING"))
        encoding = (("Content-Encoding", "gzip"),) if form.gzip else ()
        headers = (("Vary", "Accept, Accept-Encoding"), *encoding)
        return Response(OK, page.body(form.openmetrics, form.gzip), form.content_type, headers)

    def _healthy(self, _environ: Environ) -> Response:
        reason = self._published.healthy()
        return Response(OK, b"healthy\n") if reason is None else Response(UNAVAILABLE, f"{reason}\n".encode())

    def _ready(self, _environ: Environ) -> Response:
        return NOT_YET if self._published.page is None else Response(OK, b"ready\n")


def _headers(response: Response) -> Headers:
    described = (("Content-Type", response.content_type), ("Content-Length", str(len(response.body))))
    own = {name for name, _ in response.headers}
    return [*described, *response.headers, *(each for each in _SAFETY if each[0] not in own)]
