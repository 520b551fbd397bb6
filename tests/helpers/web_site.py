"""A local web server that gives the wrong answers that a test sets."""

import hashlib
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer

CONTENT = bytes(range(256)) * 1000  # 256,000 bytes: four blocks
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@dataclass
class Answer:
    """The answer to one request; the default is correct."""

    status: int | None = None  # 200, or 206 if a range is requested
    headers: dict[str, str | None] = field(default_factory=dict)  # None omits one
    body: bytes | None = None
    cut: int | None = None  # the connection ends after so many bytes of the body
    stall: bool = False  # after `cut` nothing is sent, but the connection stays open


class Site(ThreadingHTTPServer):
    daemon_threads = False  # server_close() waits for them

    def __init__(self, content):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.etag = content, '"one"'
        self.answers = []  # to the next requests; correct ones when none are left
        self.requests = []  # the Range of each, or None
        self.closing = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}/models/picodet_s_416_coco.pdparams"

    def handle_error(self, request, client_address):
        """Ignore clients that have disconnected."""


class Handler(BaseHTTPRequestHandler):
    server: Site

    def log_message(self, *args):
        """Log nothing."""

    def do_GET(self):
        site, asked = self.server, self.headers["Range"]
        site.requests.append(asked)
        answer = site.answers.pop(0) if site.answers else Answer()
        start = 0
        if asked and self.headers["If-Range"] == site.etag and answer.status is None:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
        body = site.content[start:] if answer.body is None else answer.body
        self.send_response(answer.status or (206 if start else 200))
        headers = {"Content-Length": str(len(body)), "ETag": site.etag}
        if start:
            size = len(site.content)
            headers["Content-Range"] = f"bytes {start}-{size - 1}/{size}"
        for name, value in (headers | answer.headers).items():
            if value is not None:
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body[: answer.cut])
        if answer.stall:
            site.closing.wait(10)


@contextmanager
def serving(content):
    with Site(content) as site:
        thread = threading.Thread(target=site.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield site
        finally:
            site.closing.set()
            site.shutdown()
            thread.join()


@contextmanager
def serving_folder(folder):
    """Serve the files of a folder; yields the URL, and the paths of the requests."""
    requests = []

    class FolderHandler(SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(folder))

        def log_message(self, *args):
            requests.append(self.path)

    with ThreadingHTTPServer(("127.0.0.1", 0), FolderHandler) as site:
        thread = threading.Thread(target=site.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{site.server_port}", requests
        finally:
            site.shutdown()
            thread.join()


def left_in(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())
