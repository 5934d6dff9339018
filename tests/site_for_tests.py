"""A web server that misbehaves on purpose, for every test of downloads."""

from __future__ import annotations

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Site:
    """A web server whose files may be cut, missing, mislabelled; it remembers what was asked for."""

    def __init__(self):
        site = self
        self.files: dict[str, bytes] = {}
        self.cut: dict[str, list[int]] = {}  # path -> how many bytes each next answer gives before the line drops
        self.status: dict[str, list[int]] = {}  # path -> answers to give first
        self.redirect: dict[str, str] = {}
        self.etag: dict[str, str] = {}
        self.ranges = True
        self.stall = False  # after a cut keep the line open and say nothing
        self.asked: list[tuple[str, str | None]] = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                site.answer(self)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def answer(self, handler):
        path, span = handler.path, handler.headers.get("Range")
        self.asked.append((path, span))
        status = self.status[path].pop(0) if self.status.get(path) else 200 if path in self.files else 404
        if path in self.redirect:
            handler.send_response(302)
            handler.send_header("Location", self.redirect[path])
            handler.send_header("Content-Length", "0")
            return handler.end_headers()
        if status != 200:
            handler.send_response(status)
            handler.send_header("Content-Length", "0")
            return handler.end_headers()
        whole, start = self.files[path], 0
        tag = self.etag.get(path)
        condition = handler.headers.get("If-Range")
        if span and self.ranges and (condition is None or condition == tag):
            start = int(span.removeprefix("bytes=").removesuffix("-"))
            if start >= len(whole):
                handler.send_response(416)
                handler.send_header("Content-Length", "0")
                return handler.end_headers()
            handler.send_response(206)
            handler.send_header("Content-Range", f"bytes {start}-{len(whole) - 1}/{len(whole)}")
        else:
            handler.send_response(200)
        if tag:
            handler.send_header("ETag", tag)
        body = whole[start:]
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        if self.cut.get(path):
            body = body[: self.cut[path].pop(0)]
            handler.close_connection = True
        handler.wfile.write(body)
        handler.wfile.flush()
        while self.stall:
            time.sleep(0.02)

    def close(self):
        self.stall = False
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


class Naps(list):
    """Sleeps nothing, remembers how long it should have slept."""

    def __call__(self, seconds: float) -> None:
        self.append(seconds)
