"""One request and its answer, as tornado's delegate of an HTTP/1.1 message."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import cast

from tornado.http1connection import HTTP1Connection
from tornado.httputil import (
    HTTPHeaders,
    HTTPInputError,
    HTTPMessageDelegate,
    RequestStartLine,
    ResponseStartLine,
)
from tornado.iostream import StreamClosedError

from exporter.serving.http.answering import BROKEN, Answering
from exporter.serving.http.client_stream import Client
from exporter.serving.http.head import Request, read_request
from exporter.serving.http.refusals import BadRequest, fields, refusal
from exporter.serving.page.responses import NOT_MODIFIED, Response

log = logging.getLogger("exporter.server")

_JOINED_BYTES = 65_536  # one packet more costs more than copying this


class Exchange(HTTPMessageDelegate):
    """Answers the request that `connection` is about to read.

    What ends the connection is answered before tornado reads on: no body is ever read. make_room: is called
    whenever there is one more answer to be fetched.
    """

    def __init__(
        self,
        connection: HTTP1Connection,
        answering: Answering,
        body_bytes: int,
        make_room: Callable[[], None],
    ) -> None:
        self._connection = connection
        self._client = cast(Client, connection.stream)
        self._answering = answering
        self._body_bytes = body_bytes
        self._make_room = make_room
        self._request: Request | None = None
        self._task: asyncio.Task[None] | None = None

    def headers_received(
        self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders
    ) -> Awaitable[None] | None:
        """See tornado's."""
        line = cast(RequestStartLine, start_line)
        try:
            request = read_request(line, headers, self._client.address, self._body_bytes)
        except BadRequest as bad:
            return self._send(refusal(bad.status, str(bad)), line.method, is_last=True)
        self._request = request
        return self._respond(request) if request.is_last else None

    def finish(self) -> None:
        """See tornado's: the request is whole."""
        if self._request:
            self._task = asyncio.ensure_future(self._respond(self._request))

    async def _respond(self, request: Request) -> None:
        self._client.is_answering = True
        self._client.fetches_document = self._answering.makes_document(request.environ)
        try:
            response = await self._answering.answer(request.environ)
        finally:
            self._client.is_answering = False
        await self._send(response, request.environ["REQUEST_METHOD"], request.is_last)

    async def _send(self, response: Response, method: str, is_last: bool) -> None:
        try:
            await self._write(response, method, is_last)
            self._client.served += response.status[0] in "23"
            if is_last:
                await self._client.linger()
            self._connection.finish()
        except HTTPInputError:
            log.exception("web server: a header of ours would end its line early")
            await self._send(BROKEN, method, is_last)
        except StreamClosedError:
            self._connection.close()
        finally:
            self._client.body = b""

    async def _write(self, response: Response, method: str, is_last: bool) -> None:
        code, _, reason = response.status.partition(" ")
        line = ResponseStartLine("HTTP/1.1", int(code), reason)
        headers = HTTPHeaders()
        for name, value in (*fields(response), *([("Connection", "close")] if is_last else ())):
            headers.add(name, value)
        body = b"" if method == "HEAD" or response.status == NOT_MODIFIED else response.body
        if len(body) <= _JOINED_BYTES:
            await self._connection.write_headers(line, headers, body)
            return
        self._client.begin_answer(body)
        self._make_room()
        self._connection.write_headers(line, headers)
        await self._connection.write(body)
