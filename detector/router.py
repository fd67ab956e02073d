"""Which model a record belongs to: a shard's records, split into batches of one model and input length."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

import numpy as np

from detector.alert import Alert
from detector.columns import QueryBatch, to_batch
from detector.features.text import DIMENSIONS
from detector.query import DeadLetter, IntArray, Record
from detector.records import TEXT, Records, as_records, input_length
from detector.shares import DIVIDE_EVERY

LARGEST_RUN = 8192
"""Queries that become columns at one go; bounds the working memory."""
LARGEST_NUMBERS = 2**21
"""Numbers in those columns."""
SWITCH_CLIENTS, SWITCH_QUERIES, MOST_SWITCH_QUERIES = 3, 16, 1024
"""A model's input length changes when queries of another length outnumber those of its own since they began,
are from at least so many clients, and are at least so many: from 16 for a new model to 1,024 for one with
much traffic. So a few accounts cannot talk a model into another length."""
YOUNG, YOUNG_SWITCH = 3, 4
"""While a model has at most so many queries, that many of another length are enough, from any client: a first
record may well be the wrong one."""
MOST_ODD = 256
"""Other lengths that are counted at a time; the one that came up first is forgotten."""
MOST_MODELS = 1000
"""Models of one shard. Their names come from the log, so there must be an end to them."""


@dataclass(slots=True)
class Outcome:
    """What came of some records. `queries` were counted and scored, `repeated` had been before."""

    alerts: list[Alert] = field(default_factory=list)
    dead_letters: list[DeadLetter] = field(default_factory=list)
    queries: int = 0
    repeated: int = 0


@dataclass(slots=True)
class OddLength:
    """Queries of a known model with another input length than its own."""

    clients: set[str] = field(default_factory=set)
    queries: int = 0
    began: int = 0
    """Queries of the model's own length when these began."""


def narrow(run: Records) -> Iterator[Records]:
    """The records of a run, cut so that their probabilities, padded to the longest, are at most
    LARGEST_NUMBERS: whoever asks a model for very many answers must not make a batch too large for memory."""
    longest = int(run.answer_lengths().max())
    if len(run) * longest <= LARGEST_NUMBERS or len(run) == 1:
        yield run
        return
    middle = len(run) // 2
    yield from narrow(run[:middle])
    yield from narrow(run[middle:])


class BatchReader(Protocol):
    """What takes the batches of one model: `ModelState`, or a sampler when a profile is fitted."""

    def process(self, batch: QueryBatch) -> list[Alert]:
        """Account for a batch in order."""


Reader = TypeVar("Reader", bound=BatchReader)


class Router(Generic[Reader]):
    """Hands each record to its model's reader, in the shard's order, and knows how far it has come.

    `make` gives the reader of a model with inputs of d numbers; `expected` the input lengths that are
    known beforehand, and never change. `source` and `partition` are named in dead letters.
    """

    def __init__(
        self, make: Callable[[str, int], Reader], expected: Mapping[str, int], source: str, partition: int
    ) -> None:
        self.source = source
        self.partition = partition
        self.next_offset = 0
        self.divisions = 0
        """The newest record's offset in DIVIDE_EVERY."""
        self.models: dict[str, Reader] = {}
        self.lengths: dict[str, int] = {}
        self.matching: dict[str, int] = {}
        """Queries of each model's own length so far."""
        self.odd: dict[tuple[str, int], OddLength] = {}
        self._make = make
        self._expected = expected

    def process(self, records: Sequence[Record]) -> Outcome:
        """Account for records in the shard's order. A record delivered twice counts once."""
        outcome = Outcome()
        for part in self._between_divisions(as_records(records)):
            for name, run in self._runs(part, outcome):
                for piece in narrow(run):
                    self._account(name, piece, outcome)
        outcome.alerts.sort(key=lambda alert: alert.offset)
        outcome.dead_letters.sort(key=lambda letter: letter.offset)
        return outcome

    def _account(self, name: str, run: Records, outcome: Outcome) -> None:
        batch, bad = to_batch(name, run, self.source, self.partition)
        outcome.dead_letters.extend(bad)
        if len(batch):
            if name not in self.models:
                self.models[name] = self._make(name, batch.inputs.shape[1])
            outcome.queries += len(batch)
            outcome.alerts.extend(self.models[name].process(batch))

    def divide(self) -> None:
        """Divide what the models share; called before the first record of every DIVIDE_EVERY offsets."""

    def first_seen(self, name: str) -> None:
        """A model is named for the first time."""

    def _between_divisions(self, records: Records) -> Iterator[Records]:
        """The records, cut where all models are to be at the same point of the log."""
        begin = 0
        if records and int(records.offsets[-1]) // DIVIDE_EVERY > self.divisions:
            newest = np.maximum.accumulate(records.offsets // DIVIDE_EVERY).clip(self.divisions)
            for i in np.flatnonzero(np.diff(newest, prepend=self.divisions) > 0).tolist():
                if i > begin:
                    yield records[begin:i]
                self.divisions, begin = int(newest[i]), i
                self.divide()
        if begin < len(records):
            yield records[begin:] if begin else records

    def _runs(self, records: Records, outcome: Outcome) -> Iterator[tuple[str, Records]]:
        """Models, and records of one input length each, in order within the model."""
        records, names, codes = self._of_known_models(self._not_repeated(records, outcome), outcome)
        lengths = records.input_lengths()
        begun = dict.fromkeys(range(len(names)), 0)
        """The row from which on each model has the length that it has now."""
        row = 0
        while True:
            expected = np.array([self.lengths[name] for name in names], dtype=np.int64)
            right = lengths == expected[codes]
            own = [first + np.flatnonzero(right[first:] & (codes[first:] == c)) for c, first in begun.items()]
            found = self._next_switch(records, row + np.flatnonzero(~right[row:]), codes, own, outcome)
            if found is None:
                break
            row = found
            code, name = int(codes[row]), names[codes[row]]
            yield from self._pieces(name, records, own[code][: np.searchsorted(own[code], row)])
            self.models.pop(name, None)
            self.matching[name], self.lengths[name], begun[code] = 0, int(lengths[row]), row
        for name, rows in zip(names, own, strict=True):
            yield from self._pieces(name, records, rows)

    def _pieces(self, name: str, records: Records, rows: IntArray) -> Iterator[tuple[str, Records]]:
        """These rows of a model, as many at a time as may become columns at one go."""
        most = max(1, min(LARGEST_RUN, LARGEST_NUMBERS // max(self.lengths[name], 1)))
        some = records if len(rows) == len(records) else records.take(rows)
        for begin in range(0, len(rows), most):
            piece = some[begin : begin + most] if len(rows) > most else some
            self.matching[name] += len(piece)
            yield name, piece

    def _next_switch(
        self, records: Records, odd: IntArray, codes: IntArray, own: list[IntArray], outcome: Outcome
    ) -> int | None:
        """The first of these rows of an odd length with which its model changes to that length, None without
        one. The rows before it are dead letters. own [models]: rows of each model's own length."""
        for row, record in zip(map(int, odd), records.take(odd) if len(odd) else (), strict=True):
            length, name = input_length(record), record.model_id
            before = int(np.searchsorted(own[codes[row]], row))
            if self._switches(record, length, self.matching[name] + before):
                return row
            outcome.dead_letters.append(self._wrong_length(record, length, self.lengths[name]))
        return None

    def _of_known_models(self, records: Records, outcome: Outcome) -> tuple[Records, list[str], IntArray]:
        """The records without those of models that are too many, and their `models`; a new one's first
        settles its length."""
        names, codes = records.models()
        lengths, left = records.input_lengths(), np.zeros(len(records), dtype=np.bool_)
        for code, name in enumerate(names):
            if name in self.lengths:
                continue
            rows = np.flatnonzero(codes == code)
            if len(self.lengths) >= MOST_MODELS:
                left[rows] = True
                continue
            self.lengths[name] = self._first_length(name, int(lengths[rows[0]]))
            self.matching[name] = 0
            self.first_seen(name)
        if not left.any():
            return records, names, codes
        outcome.dead_letters += map(self._too_many_models, records.take(np.flatnonzero(left)))
        known = records.take(np.flatnonzero(~left))
        return known, *known.models()

    def _not_repeated(self, records: Records, outcome: Outcome) -> Records:
        """The records that were not delivered before."""
        next_offsets = np.maximum.accumulate(np.append(self.next_offset, records.offsets + 1))
        new = records.offsets >= next_offsets[:-1]
        self.next_offset = int(next_offsets[-1])
        if new.all():
            return records
        outcome.repeated += int(np.count_nonzero(~new))
        return records.take(np.flatnonzero(new))

    def _first_length(self, name: str, length: int) -> int:
        """Length of this model's inputs: the one known beforehand, else that of the first record."""
        expected = self._expected.get(name, length)
        return TEXT if length == TEXT and expected == DIMENSIONS else expected

    def _switches(self, record: Record, length: int, matching: int) -> bool:
        """Count a query of another length than its model's; whether the length changes with it.

        `matching` counts the model's queries of its own length so far.
        """
        name = record.model_id
        if name in self._expected:
            return False
        key = (name, length)
        odd = self.odd.get(key)
        if odd is None or (odd.queries >= SWITCH_QUERIES and odd.queries < matching - odd.began):
            if odd is None and len(self.odd) >= MOST_ODD:
                del self.odd[next(iter(self.odd))]
            odd = self.odd[key] = OddLength(began=matching)
        odd.queries += 1
        if len(odd.clients) < SWITCH_CLIENTS:
            odd.clients.add(record.client_id)
        young = matching <= YOUNG
        needed = YOUNG_SWITCH if young else min(MOST_SWITCH_QUERIES, SWITCH_QUERIES + matching // 4)
        enough = odd.queries >= needed and (young or len(odd.clients) >= SWITCH_CLIENTS)
        if not enough or odd.queries <= matching - (0 if young else odd.began):
            return False
        self.odd = {other: value for other, value in self.odd.items() if other[0] != name}
        return True

    def _too_many_models(self, record: Record) -> DeadLetter:
        detail = f"model_id: {MOST_MODELS} other models are known already"
        return DeadLetter("too_many_models", detail, record.raw, self.source, self.partition, record.offset)

    def _wrong_length(self, record: Record, length: int, expected: int) -> DeadLetter:
        said = [f"{n} numbers" if n != TEXT else "text" for n in (length, expected)]
        detail = f"input: {said[0]}, but this model takes {said[1]}"
        return DeadLetter("input_length", detail, record.raw, self.source, self.partition, record.offset)
