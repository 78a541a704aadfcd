"""What the page is made of: the files of exporter/ui, read once, served with an ETag."""

from __future__ import annotations

import hashlib
from pathlib import Path

from exporter.serving.page.responses import JSON, OK, Response, problem, unless_known

_TYPES = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "json": JSON,
    "svg": "image/svg+xml",
}
_NOT_HERE = problem("404 Not Found", "There is no such file.")


class UiFiles:
    """The files by name; there are no others, whatever a path says."""

    def __init__(self) -> None:
        folder = Path(__file__).with_name("ui")
        self._files = {
            entry.name: (entry.read_bytes(), _TYPES[suffix])
            for entry in folder.iterdir()
            if (suffix := entry.name.rpartition(".")[2]) in _TYPES
        }
        self._etags = {name: _etag(body) for name, (body, _) in self._files.items()}

    def text(self, name: str) -> str:
        """A file's text. Raises KeyError."""
        return self._files[name][0].decode()

    def respond(self, name: str, if_none_match: str | None) -> Response:
        """The file, or 304 where the client has it. Browsers keep it and ask each time."""
        if name not in self._files:
            return _NOT_HERE
        body, content_type = self._files[name]
        response = Response(OK, body, content_type, (("Cache-Control", "no-cache"),))
        return unless_known(response, self._etags[name], if_none_match)


def _etag(body: bytes) -> str:
    return f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'
