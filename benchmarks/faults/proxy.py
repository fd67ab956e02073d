"""A proxy between the detector and the real Elasticsearch that makes one bulk request after another fail."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from tests.connectors.fake_elasticsearch import Answer, FakeElasticsearch

Pairs = list[tuple[dict[str, Any], dict[str, Any]]]
"""Action and document of each item of a bulk request."""


class FaultyProxy(FakeElasticsearch):
    """Passes everything on, but for bulk requests: the first meet one fault each, in a round, and from the
    second round on every second one does.

    `met` counts faults by name; `refused` holds the ids of alerts that were refused for their content.
    """

    def __init__(self, upstream: str) -> None:
        super().__init__(upstream)
        self.met: dict[str, int] = {}
        self.refused: set[str] = set()
        self._requests = 0
        self._round: list[tuple[str, Callable[[Pairs, _Forward], Answer | None]]] = [
            ("mapping refusal", self._refuse_first),
            ("429", lambda pairs, forward: _error(429)),
            ("failure store", self._lose_first),
            ("503", lambda pairs, forward: _error(503)),
            ("cut after the write", _cut_after),
            ("429 for one document", _busy_item),
            ("cut before the write", lambda pairs, forward: None),
        ]

    def answer(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> Answer | None:
        if not path.split("?", maxsplit=1)[0].endswith("/_bulk"):
            return super().answer(method, path, body, headers)
        lines = [json.loads(line) for line in body.splitlines()]
        pairs = list(zip(lines[::2], lines[1::2], strict=True))

        def forward(some: Pairs) -> Answer:
            text = "".join(
                f"{json.dumps(action)}\n{json.dumps(document)}\n" for action, document in some
            ).encode()
            return self._forward(method, path, text, headers)

        self._requests += 1
        if len(self.met) == len(self._round) and self._requests % 2 == 0:
            return forward(pairs)
        name, fault = self._round[sum(self.met.values()) % len(self._round)]
        self.met[name] = self.met.get(name, 0) + 1
        return fault(pairs, forward)

    def _refuse_first(self, pairs: Pairs, forward: _Forward) -> Answer:
        """The first document is spoiled on its way, so that the real cluster refuses it with 400."""
        document = json.loads(json.dumps(pairs[0][1]))
        document["querywatch"]["detector"]["score"] = "no number"
        self.refused.add(_id(pairs[0]))
        return forward([(pairs[0][0], document), *pairs[1:]])

    def _lose_first(self, pairs: Pairs, forward: _Forward) -> Answer:
        """The first document comes back as one that went to the failure store."""
        self.refused.add(_id(pairs[0]))
        item = {"_index": ".fs-test", "_id": "another", "status": 201, "failure_store": "used"}
        return _with_first({"create": item}, pairs, forward)


_Forward = Callable[[Pairs], Answer]


def _id(pair: tuple[dict[str, Any], dict[str, Any]]) -> str:
    return str(pair[0]["create"]["_id"])


def _error(code: int) -> Answer:
    return code, {"error": {"type": "test", "reason": f"answer {code}"}}


def _cut_after(pairs: Pairs, forward: _Forward) -> None:
    forward(pairs)


def _busy_item(pairs: Pairs, forward: _Forward) -> Answer:
    item = {"_index": ".ds-test", "_id": _id(pairs[0]), "status": 429, "error": {"reason": "no room"}}
    return _with_first({"create": item}, pairs, forward)


def _with_first(item: dict[str, Any], pairs: Pairs, forward: _Forward) -> Answer:
    """The real answer to all but the first document, and `item` for that."""
    nothing: Answer = (200, {"took": 0, "items": []})
    code, content = forward(pairs[1:]) if len(pairs) > 1 else nothing
    if code == 200:
        content["items"] = [item, *content["items"]]
        content["errors"] = True
    return code, content
