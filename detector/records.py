"""Records of a shard, many at a time: what the core asks of them, and the plain list of them.

The other kind is `detector.decoded.Decoded`, columns as the compiled decoder found them. Both answer alike,
to the bit.
"""

from __future__ import annotations

import math
import zlib
from abc import abstractmethod
from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast, overload

import numpy as np

from detector.features.text import vectorise_many
from detector.keys import Keys, keys_of
from detector.query import FloatArray, IntArray, Numbers, Record

if TYPE_CHECKING:
    from typing_extensions import Buffer

MODEL, CLIENT, SESSION, REQUEST, ADDRESS, AGENT, TENANT = range(7)
"""The ids of a record."""
NAMES = ("model_id", "client_id", "session_id", "request_id", "source_ip", "user_agent", "tenant_id")
TEXT = -1
"""Stands for the input length of texts, whatever theirs is."""


class Records(Sequence[Record]):
    """n records in the shard's order.

    times [n]: timestamps, seconds since the epoch; offsets [n]
    """

    times: FloatArray
    offsets: IntArray

    @overload
    def __getitem__(self, index: int) -> Record: ...

    @overload
    def __getitem__(self, index: slice) -> Records: ...

    @abstractmethod
    def __getitem__(self, index: int | slice) -> Record | Records:
        """A record, or some."""

    @abstractmethod
    def take(self, rows: IntArray) -> Records:
        """The records of these rows."""

    @abstractmethod
    def models(self) -> tuple[list[str], IntArray]:
        """The models, in the order in which they are first named, and which of them each record is of [n]."""

    @abstractmethod
    def ids(self, which: int) -> list[str]:
        """One id of each record, empty where there is none: [n]."""

    @abstractmethod
    def keys(self, *ids: int) -> Keys:
        """A key of these ids for each record: [n, 2]."""

    @abstractmethod
    def input_lengths(self) -> IntArray:
        """Numbers of each input, or TEXT: [n]."""

    @abstractmethod
    def answer_lengths(self) -> IntArray:
        """Probabilities of each record: [n]."""

    @abstractmethod
    def input_matrix(self) -> FloatArray:
        """Inputs [n, d], not to be written to.

        Raises ValueError when they differ in length or kind.
        """

    @abstractmethod
    def answer_matrix(self) -> FloatArray:
        """Probabilities [n, k], NaN beyond a record's own."""

    @abstractmethod
    def given_confidences(self) -> FloatArray | None:
        """The confidence that each record names itself [n], NaN without one; None where no record does."""

    @abstractmethod
    def label_codes(self, best: IntArray) -> IntArray:
        """Codes of the records' own labels [n], and `best` [n] where a record has none."""


class Listed(Records):
    """Records that there are already."""

    def __init__(self, records: list[Record]) -> None:
        self._records = records
        self.times = np.array([record.timestamp for record in records], dtype=np.float64)
        self.offsets = np.array([record.offset for record in records], dtype=np.int64)

    def __len__(self) -> int:
        return len(self._records)

    @overload
    def __getitem__(self, index: int) -> Record: ...

    @overload
    def __getitem__(self, index: slice) -> Listed: ...

    def __getitem__(self, index: int | slice) -> Record | Listed:
        return Listed(self._records[index]) if isinstance(index, slice) else self._records[index]

    def take(self, rows: IntArray) -> Listed:
        """The records of these rows."""
        return Listed([self._records[row] for row in rows.tolist()])

    def models(self) -> tuple[list[str], IntArray]:
        """As of all `Records`."""
        numbers: dict[str, int] = {}
        codes = [numbers.setdefault(record.model_id, len(numbers)) for record in self._records]
        return list(numbers), np.array(codes, dtype=np.int64)

    def ids(self, which: int) -> list[str]:
        """As of all `Records`."""
        return [getattr(record, NAMES[which]) for record in self._records]

    def keys(self, *ids: int) -> Keys:
        """As of all `Records`."""
        return keys_of([[getattr(record, NAMES[which]) for record in self._records] for which in ids])

    def input_lengths(self) -> IntArray:
        """As of all `Records`."""
        return np.array(list(map(input_length, self._records)), dtype=np.int64)

    def answer_lengths(self) -> IntArray:
        """As of all `Records`."""
        answers = [record.probabilities for record in self._records]
        return np.array([0 if one is None else len(one) for one in answers], dtype=np.int64)

    def input_matrix(self) -> FloatArray:
        """As of all `Records`."""
        rows = [record.input for record in self._records]
        if not rows:
            return np.empty((0, 0))
        kinds = set(map(type, rows))
        if str in kinds:
            if len(kinds) > 1:
                raise ValueError("a batch holds either texts or numbers, not both")
            return vectorise_many(cast(list[str], rows))
        lengths = set(map(len, rows))
        if len(lengths) > 1:
            raise ValueError("the inputs of a batch must have one length")
        return _packed(cast(list[Numbers], rows)).reshape(len(rows), lengths.pop())

    def answer_matrix(self) -> FloatArray:
        """As of all `Records`."""
        rows = [record.probabilities for record in self._records]
        counts = self.answer_lengths()
        longest = int(counts.max(initial=0))
        flat = _packed([row for row in rows if row is not None])
        if len(flat) == len(rows) * longest:
            return flat.reshape(len(rows), longest)
        padded = np.full((len(rows), longest), np.nan)
        padded[np.arange(longest) < counts[:, None]] = flat
        return padded

    def given_confidences(self) -> FloatArray | None:
        """As of all `Records`."""
        values = [record.confidence for record in self._records]
        if values.count(None) == len(values):
            return None
        # NaN stands for "none" here, so one that was given is made something else that is no confidence.
        return np.array(
            [np.nan if value is None else np.inf if math.isnan(value) else value for value in values],
            dtype=np.float64,
        )

    def label_codes(self, best: IntArray) -> IntArray:
        """As of all `Records`."""
        own = [record.label for record in self._records]
        if own.count(None) == len(own):
            return best
        codes = [
            code if label is None else label_code(label)
            for label, code in zip(own, best.tolist(), strict=True)
        ]
        return np.array(codes, dtype=np.int64)


def label_code(label: int | str) -> int:
    """The code of a label in [0, 2^31): an integer in that range is its own, others are hashed."""
    if isinstance(label, int) and 0 <= label < 2**31:
        return label
    return zlib.crc32(str(label).encode("utf-8", "surrogatepass")) & 0x7FFFFFFF


def input_length(record: Record) -> int:
    """Numbers of a record's input, or `TEXT`."""
    found = record.input
    return TEXT if type(found) is str else len(found)


def as_records(records: Sequence[Record]) -> Records:
    """The same as `Records`."""
    return records if isinstance(records, Records) else Listed(list(records))


def _packed(rows: Sequence[Numbers]) -> FloatArray:
    """The numbers of all rows, one row after the other, as one array."""
    packed = [array("d", row) if isinstance(row, list) else row for row in rows]
    return np.frombuffer(bytearray().join(cast("list[Buffer]", packed)), dtype=np.float64)
