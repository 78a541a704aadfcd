"""From a request to its answer: who may ask, in which lane, and what if that fails."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import partial
from typing import Protocol

from exporter.serving.http.lanes import Crowded, Effort, Lane
from exporter.serving.http.limits import Limits
from exporter.serving.http.refusals import refusal
from exporter.serving.page.responses import Response

log = logging.getLogger("exporter.server")

Environ = Mapping[str, str]

_TOO_MANY = refusal(
    "503 Service Unavailable", "too many requests at a time; see web.maxRequests", ("Retry-After", "1")
)
BROKEN = refusal("500 Internal Server Error", "the exporter's log says more")


class Application(Protocol):
    """What answers. environ: of the request, with the names of PEP 3333."""

    def effort(self, environ: Environ) -> Effort:
        """What the answer will cost; asked in the loop, and so for nothing itself."""

    def respond(self, environ: Environ) -> Response:
        """The answer. Called in a thread, but for what costs nothing."""


class Guard(Protocol):
    """Who may come in. Asked in the loop."""

    async def refuse(self, environ: Environ) -> Response | None:
        """Why the request is not answered; None where it may be."""

    def dress(self, response: Response) -> Response:
        """The answer with the headers that were configured."""


class Answering:
    """Answers requests, one coroutine each, and never raises."""

    def __init__(self, application: Application, guard: Guard | None, limits: Limits) -> None:
        self._application = application
        self._guard = guard
        self._scrapes = Lane("web-scrape", limits.threads, limits.requests)
        self._documents = Lane("web-document", 1, limits.requests)

    async def answer(self, environ: Environ) -> Response:
        """What goes back: an error of ours is a 500, and the log says why."""
        try:
            refused = await self._guard.refuse(environ) if self._guard else None
            response = refused or await self._ask(environ)
            return self._guard.dress(response) if self._guard else response
        except Crowded:
            return _TOO_MANY
        except Exception:
            log.exception(
                "web server: error in answering %s %.200s", environ["REQUEST_METHOD"], environ["PATH_INFO"]
            )
            return BROKEN

    def makes_document(self, environ: Environ) -> bool:
        """Whether the answer is one that is made for whoever asks."""
        return self._application.effort(environ) is Effort.DOCUMENT

    async def _ask(self, environ: Environ) -> Response:
        effort = self._application.effort(environ)
        lane = self._documents if effort is Effort.DOCUMENT else self._scrapes
        return await lane.ask(partial(self._application.respond, environ), at_once=effort is Effort.NONE)

    def close(self, wait: bool) -> None:
        """End the threads; wait: until each has."""
        self._scrapes.close(wait)
        self._documents.close(wait)
