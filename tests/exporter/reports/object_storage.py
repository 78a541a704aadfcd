"""Object storage on a real socket: as much of S3's API as keeping files takes, in memory."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, BinaryIO
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

_XML = '<?xml version="1.0" encoding="UTF-8"?>'
_WHEN = "2026-10-01T00:00:00.000Z"


class ObjectStorage:
    """Keys are BUCKET/KEY. An upload in parts is an object once it is completed, and not before."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.credentials: set[str] = set()
        self.refuses = False
        self._parts: dict[str, dict[int, bytes]] = {}
        storage = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if self.headers.get("Transfer-Encoding") == "chunked":
                    body = b"".join(_chunks(self.rfile))
                if "aws-chunked" in self.headers.get("Content-Encoding", ""):
                    body = _unchunked(body)
                storage.credentials.add(self.headers.get("Authorization", "").partition("Credential=")[2][:4])
                parts = urlsplit(self.path)
                query = {name: values[0] for name, values in parse_qs(parts.query, True).items()}
                status, answer = storage.answer(self.command, unquote(parts.path).strip("/"), query, body)
                self.send_response(status)
                self.send_header("ETag", '"e"')
                self.send_header("Last-Modified", "Thu, 01 Oct 2026 00:00:00 GMT")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(answer)

            do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = handle_any  # noqa: N815

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> ObjectStorage:
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, method: str, key: str, query: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        if self.refuses:
            return 403, f"{_XML}<Error><Code>AccessDenied</Code><Message>no</Message></Error>".encode()
        if method == "GET" and "list-type" in query:
            return 200, self._listed(key, query)
        if method == "POST" and "uploads" in query:
            self._parts[key] = {}
            return (
                200,
                f"{_XML}<InitiateMultipartUploadResult><UploadId>{escape(key)}</UploadId>".encode()
                + (b"</InitiateMultipartUploadResult>"),
            )
        if method == "PUT" and "partNumber" in query:
            self._parts[key][int(query["partNumber"])] = body
            return 200, b""
        if method == "POST" and "uploadId" in query:
            self.objects[key] = b"".join(part for _, part in sorted(self._parts.pop(key).items()))
            done = "<CompleteMultipartUploadResult><ETag>e</ETag></CompleteMultipartUploadResult>"
            return 200, f"{_XML}{done}".encode()
        if method == "PUT":
            self.objects[key] = body
            return 200, b""
        found = self.objects.get(key)
        return (404, b"") if found is None else (200, found)

    def _listed(self, bucket: str, query: Mapping[str, str]) -> bytes:
        prefix, cut = query.get("prefix", ""), query.get("delimiter", "")
        contents, folders = [], set()
        for name in sorted(self.objects):
            key = name.removeprefix(f"{bucket}/")
            if not name.startswith(f"{bucket}/{prefix}"):
                continue
            rest = key[len(prefix) :]
            if cut and cut in rest:
                folders.add(prefix + rest.partition(cut)[0] + cut)
            else:
                size = len(self.objects[name])
                about = f"<LastModified>{_WHEN}</LastModified><ETag>e</ETag><Size>{size}</Size>"
                contents.append(f"<Contents><Key>{escape(key)}</Key>{about}</Contents>")
        folded = [
            f"<CommonPrefixes><Prefix>{escape(each)}</Prefix></CommonPrefixes>" for each in sorted(folders)
        ]
        count = f"<KeyCount>{len(contents) + len(folded)}</KeyCount><IsTruncated>false</IsTruncated>"
        inside = f"<Name>{bucket}</Name><Prefix>{escape(prefix)}</Prefix>{count}{''.join(contents + folded)}"
        return f"{_XML}<ListBucketResult>{inside}</ListBucketResult>".encode()


def _chunks(stream: BinaryIO) -> Iterator[bytes]:
    while size := int(stream.readline(), 16):
        yield stream.read(size)
        stream.readline()
    stream.readline()


def _unchunked(body: bytes) -> bytes:
    """Without the sizes and signatures between the pieces of a signed body."""
    found = b""
    while body:
        head, _, body = body.partition(b"\r\n")
        size = int(head.partition(b";")[0], 16)
        if not size:
            break
        found, body = found + body[:size], body[size + 2 :]
    return found
