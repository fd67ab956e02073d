"""An alert as it leaves the core: an id that never changes and the ECS document (see `detector.ecs`)."""

from __future__ import annotations

from typing import Any

import msgspec

from detector.query import DeadLetter


class Alert(msgspec.Struct, frozen=True):
    """One message to the SOC.

    `id` becomes the document's `_id`: a hash of tenant, model, entity, rule, episode start and
    revision, so that writing it again is recognised. `document` is the ECS document without
    `event.created` and `event.ingested`, which the Elasticsearch sink sets. `offset` is the position in
    the shard of the query at which it was raised, and orders alerts within a shard.
    """

    id: str
    document: dict[str, Any]
    offset: int

    def to_json(self) -> bytes:
        """The document with its `_id`, keys in a fixed order, as one NDJSON line without the newline."""
        return msgspec.json.encode({"_id": self.id, **self.document}, order="deterministic")

    def dead_letter(self, reason: str, sink: str, detail: str) -> DeadLetter:
        """What is kept of it, whole, where `sink` does not get it; reason and detail as in `DeadLetter`."""
        return DeadLetter(reason, detail, self.to_json(), sink, -1, self.offset)
