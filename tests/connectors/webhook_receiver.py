"""An HTTP server that takes alerts, on its own port: it answers by a script, and keeps what it was sent."""

from __future__ import annotations

import json
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from detector.alert import Alert
from tests.connectors.serving import Serving


@dataclass(frozen=True, slots=True)
class Request:
    """What came in; `peer` tells connections apart."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    peer: tuple[str, int]

    @property
    def documents(self) -> list[dict[str, Any]]:
        """The alerts of the body, whatever its format."""
        if self.headers["Content-Type"] == "application/x-ndjson":
            return [json.loads(line) for line in self.body.splitlines()]
        found = json.loads(self.body)
        return found if isinstance(found, list) else [found]


@dataclass(frozen=True, slots=True)
class Answer:
    """`seconds`: before it comes; `drip`: between two bytes of it; `cut`: the connection ends instead."""

    status: int = 200
    body: bytes = b"ok"
    headers: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    drip: float = 0.0
    cut: bool = False


Act = Callable[[Request], Answer]


class Receiver(Serving):
    """`act` answers each POST, unless `script` has an answer left; `greeting` answers OPTIONS. With `tls` it
    speaks https. Use as a context manager."""

    def __init__(
        self,
        act: Act = lambda request: Answer(),
        *,
        tls: ssl.SSLContext | None = None,
        port: int = 0,
        greeting: Answer | None = None,
    ) -> None:
        self.act = act
        self.greeting = greeting or Answer(204, b"")
        self.script: list[Answer] = []
        self.requests: list[Request] = []
        """Every POST, also those that were answered with an error."""
        self.greeted: list[Request] = []
        self.taken: list[Request] = []
        """Those that were answered with 2xx, or not answered although they were read."""
        server = _Server(("127.0.0.1", port), _handler(self))
        server.tls = tls
        super().__init__(server)
        self.port = server.server_port
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}/hooks/marked-path-secret"

    @property
    def alerts(self) -> list[Alert]:
        """The alerts that were taken, each once, in the order of their first receipt."""
        found: dict[str, Alert] = {}
        for request in list(self.taken):
            for document in request.documents:
                name = document.pop("_id")
                found.setdefault(name, Alert(name, document, len(found)))
        return list(found.values())

    def answer(self, request: Request) -> Answer:
        """Keep a request and say what it is answered with."""
        if request.method == "OPTIONS":
            self.greeted.append(request)
            return self.greeting
        self.requests.append(request)
        answer = self.script.pop(0) if self.script else self.act(request)
        if answer.cut or 200 <= answer.status < 300:
            self.taken.append(request)
        return answer


class _Server(ThreadingHTTPServer):
    tls: ssl.SSLContext | None = None
    block_on_close = False
    daemon_threads = True

    def finish_request(self, request: Any, client_address: Any) -> None:
        """In the connection's own thread: a client that does not shake hands must not hold up the others."""
        if self.tls is None:
            super().finish_request(request, client_address)
            return
        with self.tls.wrap_socket(request, server_side=True, do_handshake_on_connect=False) as secured:
            try:
                secured.do_handshake()
            except OSError:
                time.sleep(0.3)  # closed at once, the client may never see why
                return
            super().finish_request(secured, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away in the middle is what some tests are about."""


def _handler(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 2
        disable_nagle_algorithm = True

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = dict(self.headers.items())
            answer = receiver.answer(Request(self.command, self.path, headers, body, self.client_address))
            time.sleep(answer.seconds)
            if answer.cut:
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True
                return
            self.send_response(answer.status)
            for name, text in answer.headers.items():
                self.send_header(name, text)
            if answer.status != 204:
                self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            if not answer.drip:
                self.wfile.write(answer.body)
                return
            for at in range(len(answer.body)):
                self.wfile.write(answer.body[at : at + 1])
                self.wfile.flush()
                time.sleep(answer.drip)

        do_POST = do_OPTIONS = do_GET = _serve  # noqa: N815 (names that http.server asks for)

        def log_message(self, *args: Any) -> None:
            """Say nothing: the tests look at what was sent."""

    return Handler
