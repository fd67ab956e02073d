"""The HTTP side of monitoring: GET /health, /ready and /metrics. Nothing can be changed through it."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import AF_INET, AF_INET6, socket
from socketserver import TCPServer
from typing import Any

import structlog

from detector.metrics import CONTENT_TYPE
from detector.monitor import Monitor

REQUEST_SECONDS = 5.0
"""How long a client may take over its request and the answer."""
MOST_CONNECTIONS = 16
"""Connections served at once; more are cut, so that nobody can fill the process with threads."""
JSON = "application/json"

log = structlog.get_logger(__name__)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = REQUEST_SECONDS
    server_version, sys_version = "querywatch", ""

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def _answer(self, *, body: bool) -> None:
        monitor = self.server.monitor
        path = self.path.partition("?")[0]
        if path == "/metrics":
            self._send(200, CONTENT_TYPE, monitor.text(), body)
        elif path in {"/health", "/ready"}:
            ok, said = monitor.health() if path == "/health" else monitor.ready()
            self._send(200 if ok else 503, JSON, json.dumps(said).encode() + b"\n", body)
        else:
            self._send(404, JSON, b'{"paths": ["/health", "/ready", "/metrics"]}\n', body)

    def _send(self, status: int, kind: str, content: bytes, body: bool) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Probes every few seconds are no news."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 2 * MOST_CONNECTIONS

    def __init__(self, address: str, port: int, monitor: Monitor) -> None:
        self.address_family = AF_INET6 if ":" in address else AF_INET
        self.monitor = monitor
        self._free = threading.BoundedSemaphore(MOST_CONNECTIONS)
        super().__init__((address, port), _Handler)

    def server_bind(self) -> None:
        """Without HTTPServer's look-up of its own name, which may wait for a name server."""
        TCPServer.server_bind(self)
        host, port = self.server_address[:2]
        self.server_name, self.server_port = str(host), int(port)

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._free.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: socket | tuple[bytes, socket], client_address: Any) -> None:
        """A client that went away is no fault; anything else is one of ours."""
        if not isinstance(sys.exc_info()[1], OSError):
            log.exception("cannot answer a monitoring request")


@contextmanager
def served(monitor: Monitor, address: str, port: int) -> Iterator[int]:
    """Answer at `address` and `port` while the context lasts; gives the port, 0 where there is none.

    An address that cannot be listened at is told in the log: the detector works without it.
    """
    if port == 0:
        yield 0
        return
    try:
        server = _Server(address, port, monitor)
    except OSError as error:
        log.error(
            "no health and metrics: cannot listen; name another in health.address and health.port",
            address=address,
            port=port,
            problem=error.strerror or str(error),
        )
        yield 0
        return
    thread = threading.Thread(target=server.serve_forever, args=(0.2,), name="health", daemon=True)
    thread.start()
    log.info("health and metrics", address=address, port=port)
    try:
        yield port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
