"""A stand-in for an object store that speaks S3: PUT, also conditional, GET, HEAD and lists by pages, in
memory, without a look at signatures. Prints its port. One argument: how many keys a page of a list has."""

import hashlib
import sys
import threading
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

PAGE = int(sys.argv[1])
OBJECTS = {}
LOCK = threading.Lock()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, body=b"", headers=()):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def key(self):
        return unquote(urlsplit(self.path).path).lstrip("/").partition("/")[2]

    def do_PUT(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with LOCK:
            if self.headers.get("If-None-Match") == "*" and self.key() in OBJECTS:
                return self.answer(412, b"<Error><Code>PreconditionFailed</Code></Error>")
            OBJECTS[self.key()] = body
        self.answer(200, headers=[("ETag", etag(body))])

    def do_GET(self):
        query = parse_qs(urlsplit(self.path).query)
        if "list-type" in query:
            return self.list(query)
        with LOCK:
            body = OBJECTS.get(self.key())
        if body is None:
            return self.answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
        self.answer(200, body, [("ETag", etag(body)), ("Last-Modified", formatdate(usegmt=True))])

    do_HEAD = do_GET

    def list(self, query):
        first = lambda name: query.get(name, [""])[0]
        after = first("continuation-token") or first("start-after")
        with LOCK:
            keys = sorted(key for key in OBJECTS if key.startswith(first("prefix")) and key > after)
            page = [(key, OBJECTS[key]) for key in keys[:PAGE]]
        rows = "".join(
            f"<Contents><Key>{escape(key)}</Key><Size>{len(body)}</Size><ETag>{escape(etag(body))}</ETag>"
            "<LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
            for key, body in page
        )
        more = len(keys) > PAGE
        token = f"<NextContinuationToken>{escape(page[-1][0])}</NextContinuationToken>" if more else ""
        text = f"<ListBucketResult><IsTruncated>{str(more).lower()}</IsTruncated>{token}{rows}</ListBucketResult>"
        self.answer(200, text.encode(), [("Content-Type", "application/xml")])

    def log_message(self, *args):
        pass


def etag(body):
    return '"' + hashlib.md5(body, usedforsecurity=False).hexdigest() + '"'


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
