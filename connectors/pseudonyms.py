"""Ids as keyed hashes, from the moment a record is read: nothing that is kept or sent holds the id itself.

Equal ids have equal hashes, so sessions, alerts and their `_id`s are as deterministic as before. Dead letters
are the exception: they keep a record that cannot be used whole, since that is what they are for.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence

from connectors.query_log import Decoder
from detector.query import DeadLetter, RawBatch, Record

MARK = "hmac-"
"""Begins every hashed id, so that a reader sees what it is."""
_DIGITS = 32
_REMEMBERED = 100_000


class PseudonymDecoder:
    """A format's decoder, whose records carry `hmac-` and 32 hexadecimal digits in place of some ids.

    `fields` are names of `Record`'s string fields; one that is empty stays empty. The digits are the first of
    HMAC-SHA256 over the id in UTF-8.
    """

    def __init__(self, decoder: Decoder, key: str, fields: Sequence[str]) -> None:
        self._decoder = decoder
        self._key = key.encode()
        self._fields = tuple(fields)
        self._known: dict[str, str] = {}

    def decode(self, batch: RawBatch) -> tuple[Sequence[Record], list[DeadLetter]]:
        """As the format's own."""
        found, letters = self._decoder.decode(batch)
        records = list(found)
        for record in records:
            for field in self._fields:
                value = getattr(record, field)
                if value:
                    setattr(record, field, self._known.get(value) or self._hashed(value))
        return records, letters

    def _hashed(self, value: str) -> str:
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        self._known[value] = hashed(value, self._key)
        return self._known[value]


def hashed(value: str, key: bytes) -> str:
    """What stands for an id."""
    digest = hmac.digest(key, value.encode("utf-8", "surrogatepass"), "sha256")
    return MARK + digest.hex()[:_DIGITS]
