"""What is sent back to a client, and the answers that are always the same."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Response:
    """What is sent back; status as "200 OK"."""

    status: str
    body: bytes
    content_type: str = "text/plain; charset=utf-8"
    headers: tuple[tuple[str, str], ...] = ()


OK = "200 OK"
NOT_MODIFIED = "304 Not Modified"
BAD_REQUEST = "400 Bad Request"
NOT_FOUND = "404 Not Found"
UNAVAILABLE = "503 Service Unavailable"

JSON = "application/json"


def problem(status: str, detail: str, headers: tuple[tuple[str, str], ...] = ()) -> Response:
    """An error as RFC 9457 has it; detail: one sentence for a person."""
    code, _, title = status.partition(" ")
    body = json.dumps({"status": int(code), "title": title, "detail": detail}) + "\n"
    return Response(status, body.encode(), "application/problem+json", headers)


def unless_known(response: Response, etag: str, if_none_match: str | None) -> Response:
    """The response with its ETag, or 304 where the client has that one already.

    A 304 tells the length of the body that is not sent (RFC 9110, 8.6 and 15.4.5).
    """
    headers = (("ETag", etag), *response.headers)
    known = {each.strip().removeprefix("W/") for each in (if_none_match or "").split(",")}
    if etag in known or "*" in known:
        return replace(response, status=NOT_MODIFIED, headers=headers)
    return replace(response, headers=headers)
