"""Hashed ids: equal ids have equal hashes, dead letters stay whole."""

from __future__ import annotations

import hashlib
import hmac

from connectors.formats.native import NativeDecoder
from connectors.pseudonyms import PseudonymDecoder
from detector.query import RawBatch
from tests import traffic

KEY = "0123456789abcdef0123456789abcdef"


def pseudonym(text: str, key: str = KEY) -> str:
    return "hmac-" + hmac.new(key.encode(), text.encode(), hashlib.sha256).hexdigest()[:32]


def _decoder(*fields: str) -> PseudonymDecoder:
    native = NativeDecoder(record_bytes=1 << 20, nesting=16, input_length=100)
    return PseudonymDecoder(native, KEY, fields)


def _batch(*queries: dict[str, object]) -> RawBatch:
    return RawBatch("log", 0, traffic.lines(queries), list(range(len(queries))), 1e11)


def test_fields_are_hashed_and_what_is_empty_stays_empty() -> None:
    query = {"timestamp": 1, "model_id": "m", "client_id": "alice", "input": [1.0], "request_id": "r"}
    (record,), letters = _decoder("client_id", "session_id").decode(_batch(query))
    assert record.client_id == pseudonym("alice")
    assert (record.session_id, record.request_id) == ("", "r")
    assert letters == []
    (again,), _ = _decoder("client_id").decode(_batch({**query, "client_id": "\u00e4\0\ufffd"}))
    assert again.client_id == pseudonym("\u00e4\0\ufffd")


def test_dead_letters_stay_whole() -> None:
    query = {"timestamp": 1, "model_id": "m", "client_id": "alice", "input": []}
    records, (letter,) = _decoder("client_id").decode(_batch(query))
    assert records == []
    assert b"alice" in letter.raw
