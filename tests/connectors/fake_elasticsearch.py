"""A stand-in between the sink and Elasticsearch, for answers that a healthy cluster does not give.

It forwards to a real cluster, or answers by itself; each bulk request first takes the next entry of a
script. What it was sent stays readable in `bulks`.
"""

from __future__ import annotations

import json
import socket
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.connectors.serving import Serving

Answer = tuple[int, Any]
Act = Callable[[list[str]], Answer | None]
"""Given the ids of a bulk request: an answer, or None to cut the connection."""


def status(code: int, error: Mapping[str, Any] | None = None) -> Act:
    """The whole request is answered with an error."""
    return lambda ids: (code, {"error": dict(error or {"type": "test", "reason": f"answer {code}"})})


def cut() -> Act:
    """The connection ends without an answer."""
    return lambda ids: None


def items(codes: Mapping[str, int], **fields: Any) -> Act:
    """Each id is answered with its code, 201 where none is given; `fields` are added to every result."""

    def act(ids: list[str]) -> Answer:
        results = []
        for name in ids:
            code = codes.get(name, 201)
            result: dict[str, Any] = {"_index": ".ds-test-000001", "_id": name, "status": code, **fields}
            if code >= 400:
                result["error"] = {"type": "test_exception", "reason": f"item {code}"}
            results.append({"create": result})
        return 200, {"took": 1, "errors": any(code >= 400 for code in codes.values()), "items": results}

    return act


class FakeElasticsearch(Serving):
    """`script` answers bulk requests in turn; when it is spent, `upstream` does, or else `fallback`."""

    def __init__(self, upstream: str = "", *, fallback: Act | None = None, cut_after: int = 0) -> None:
        self.script: list[Act] = []
        self.bulks: list[list[str]] = []
        """The ids of each bulk request."""
        self.answers: dict[str, Answer] = {}
        """Answers to other requests by path, such as `/_index_template/x`."""
        self.cut_after = cut_after
        """So many bulk requests are passed on to upstream, but their answers never arrive."""
        self._upstream, self._fallback = upstream, fallback or items({})
        super().__init__(ThreadingHTTPServer(("127.0.0.1", 0), _handler(self)))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def answer(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> Answer | None:
        plain = path.split("?", maxsplit=1)[0]
        if plain.endswith("/_bulk"):
            return self._bulk(method, path, body, headers)
        if plain in self.answers:
            return self.answers[plain]
        if self._upstream:
            return self._forward(method, path, body, headers)
        if plain == "/":
            return 200, {"cluster_name": "fake", "version": {"number": "9.4.3"}}
        if plain.startswith("/_resolve/"):
            return 200, {"indices": [], "aliases": [], "data_streams": []}
        if plain.endswith("/_search"):
            return 200, {"hits": {"hits": []}}
        return 200, {"acknowledged": True}

    def _bulk(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> Answer | None:
        ids = [json.loads(line)["create"]["_id"] for line in body.splitlines()[::2]]
        self.bulks.append(ids)
        if self.script:
            return self.script.pop(0)(ids)
        if not self._upstream:
            return self._fallback(ids)
        reply = self._forward(method, path, body, headers)
        if self.cut_after:
            self.cut_after -= 1
            return None
        return reply

    def _forward(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        kept = {name: text for name, text in headers.items() if name.lower() in {"content-type", "accept"}}
        request = urllib.request.Request(self._upstream + path, body or None, kept, method=method)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=30) as reply:  # noqa: S310 (a test server's http address)
                return reply.status, json.load(reply)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)


def _handler(fake: FakeElasticsearch) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 1  # an idle connection of a client must not hold the server up at its end

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            reply = fake.answer(self.command, self.path, body, dict(self.headers))
            if reply is None:
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True
                return
            code, content = reply
            data = json.dumps(content).encode()
            self.send_response(code)
            self.send_header("X-Elastic-Product", "Elasticsearch")
            self.send_header("Content-Type", "application/vnd.elasticsearch+json;compatible-with=9")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_PUT = do_POST = _serve  # noqa: N815 (names that http.server asks for)

        def log_message(self, *args: Any) -> None:
            """Say nothing: the tests look at what was sent."""

    return Handler
