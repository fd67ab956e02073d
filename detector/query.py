"""The canonical record of one query, and `QueryBatch`, the columns that the pipeline works on.

A *query* is one input that a model scored. Formats (`connectors.formats`) turn bytes into `Record`s
or `DeadLetter`s; the pipeline turns runs of records of one model and one input length into columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

Numbers: TypeAlias = "list[float] | FloatArray | memoryview[float]"
"""Float64 numbers of one record: as a list, or packed as a decoder found them."""

NO_LABEL = -1
"""Label code of a query whose record names no label."""


class Record(msgspec.Struct):
    """One query as a log told it, structurally valid, values not yet checked (`detector.columns` does).

    `input` is flat numbers, or text. `offset` is the position in its shard: a Kafka
    offset or a line number counted from 0. `raw` is the record as it came, for the dead letter.
    Absent strings are empty. `timestamp` is in seconds since the epoch.
    """

    timestamp: float
    model_id: str
    client_id: str
    input: Numbers | str
    session_id: str = ""
    request_id: str = ""
    source_ip: str = ""
    user_agent: str = ""
    tenant_id: str = ""
    probabilities: Numbers | None = None
    confidence: float | None = None
    label: int | str | None = None
    offset: int = 0
    raw: bytes = b""


class DeadLetter(msgspec.Struct, frozen=True):
    """A record that cannot be used, kept whole.

    `reason` is one of `REASONS` and is what metrics count by; `detail` is for a person and names the
    field. `source` is a topic or a file, `offset` the position in it.
    """

    reason: str
    detail: str
    raw: bytes
    source: str
    partition: int
    offset: int


REASONS: dict[str, str] = {
    "not_json": "the line is not a JSON document",
    "not_an_object": "the JSON document is not an object",
    "too_large": "the record is larger than limits.record_bytes",
    "too_deep": "the JSON document is nested deeper than limits.nesting",
    "missing_field": "a required field is absent, null or empty",
    "wrong_type": "a field has another type than the record format says",
    "bad_time": "the timestamp is no epoch seconds and no RFC 3339 time with a zone",
    "future_time": "the timestamp lies further ahead than limits.future_seconds",
    "bad_encoding": "a base64 input does not decode, or does not match its dtype and shape",
    "input_empty": "the input holds no numbers",
    "input_too_long": "the input holds more numbers than limits.input_length",
    "input_not_finite": "the input holds NaN or an infinity, or a number beyond the float32 range",
    "input_length": "the input has another length than this model's inputs",
    "too_many_models": "the log names more models than one shard follows",
    "bad_probability": "a probability or confidence is not a number from 0 to 1",
    "truncated": "the file ends in the middle of a compressed stream",
    "rejected_by_sink": "a sink refused the alert for its content",
    "sink_down": "a sink was down for longer than sinks.hold_back_seconds when the alert was due",
}
"""Every dead-letter reason, with the sentence that `querywatch` prints for it."""


class RawBatch(msgspec.Struct, frozen=True):
    """Undecoded records of one shard, in order.

    `latest` [seconds since the epoch] is the newest time a record may carry: a source computes it from
    the broker's timestamps or from the clock, so that the core never looks at one.
    """

    source: str
    partition: int
    values: Sequence[bytes]
    offsets: Sequence[int]
    latest: float
