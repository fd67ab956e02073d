"""Which model a record belongs to: a shard's records, split into batches of one model and input length."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

import numpy as np

from detector.alert import Alert
from detector.columns import to_batch
from detector.decoded import INPUT, MODEL, PROBABILITIES, Decoded, offsets_of
from detector.features.text import DIMENSIONS
from detector.query import DeadLetter, QueryBatch, Record
from detector.shares import DIVIDE_EVERY

LARGEST_RUN = 8192
"""Queries that become columns at one go; bounds the working memory."""
LARGEST_NUMBERS = 2**21
"""Numbers in those columns."""
TEXT = -1
"""Stands for the input length of texts, whatever theirs is."""
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


def input_length(record: Record) -> int:
    """Numbers of a record's input, or `TEXT`."""
    found = record.input
    return TEXT if type(found) is str else len(found)


def narrow(run: Sequence[Record]) -> Iterator[Sequence[Record]]:
    """The records of a run, cut so that their probabilities, padded to the longest, are at most
    LARGEST_NUMBERS: whoever asks a model for very many answers must not make a batch too large for memory."""
    if isinstance(run, Decoded):
        longest = int(run.lengths(PROBABILITIES).max())
    else:
        longest = max([0 if record.probabilities is None else len(record.probabilities) for record in run])
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
        for part in self._between_divisions(records):
            for run in self._runs(part, outcome):
                for piece in narrow(run):
                    self._account(piece, outcome)
        outcome.alerts.sort(key=lambda alert: alert.offset)
        outcome.dead_letters.sort(key=lambda letter: letter.offset)
        return outcome

    def _account(self, run: Sequence[Record], outcome: Outcome) -> None:
        name = run[0].model_id
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

    def _between_divisions(self, records: Sequence[Record]) -> Iterator[Sequence[Record]]:
        """The records, cut where all models are to be at the same point of the log."""
        begin = 0
        if records and records[-1].offset // DIVIDE_EVERY > self.divisions:
            newest = np.maximum.accumulate(offsets_of(records) // DIVIDE_EVERY).clip(self.divisions)
            for i in np.flatnonzero(np.diff(newest, prepend=self.divisions) > 0).tolist():
                if i > begin:
                    yield records[begin:i]
                self.divisions, begin = int(newest[i]), i
                self.divide()
        if begin < len(records):
            yield records[begin:] if begin else records

    def _runs(self, records: Sequence[Record], outcome: Outcome) -> Iterator[Sequence[Record]]:
        """Records of one model and one input length each, in order within the model."""
        if self._is_one_run(records):
            self.next_offset = records[-1].offset + 1
            self.matching[records[0].model_id] += len(records)
            yield records
            return
        runs: dict[str, list[Record]] = {}
        # Of the model that the last record belonged to: most often the next one's too.
        name, expected, most = "", 0, 0
        run: list[Record] = []
        for record in records:
            if record.offset < self.next_offset:
                outcome.repeated += 1
                continue
            self.next_offset = record.offset + 1
            length = input_length(record)
            if record.model_id != name or not run:
                if record.model_id not in self.lengths and len(self.lengths) >= MOST_MODELS:
                    outcome.dead_letters.append(self._too_many_models(record))
                    continue
                name = record.model_id
                expected = self._length_of(name, length)
                run = runs.setdefault(name, [])
                most = max(1, min(LARGEST_RUN, LARGEST_NUMBERS // max(expected, 1)))
            if length != expected:
                if not self._switches(record, length, self.matching.get(name, 0) + len(run)):
                    outcome.dead_letters.append(self._wrong_length(record, length, expected))
                    continue
                if run:
                    yield run
                run = runs[name] = []
                self.models.pop(name, None)
                self.matching[name] = 0
                expected = self.lengths[name] = length
                most = max(1, min(LARGEST_RUN, LARGEST_NUMBERS // max(expected, 1)))
            run.append(record)
            if len(run) >= most:
                self.matching[name] = self.matching.get(name, 0) + len(run)
                yield runs.pop(name)
                run = []
        for name, run in runs.items():
            self.matching[name] = self.matching.get(name, 0) + len(run)
            if run:
                yield run

    def _is_one_run(self, records: Sequence[Record]) -> bool:
        """Whether these are new records of one known model, all as long as its inputs are: most often so."""
        if not 0 < len(records) <= LARGEST_RUN:
            return False
        first = records[0]
        length = self.lengths.get(first.model_id)
        if length is None or first.model_id not in self.matching or len(records) * length > LARGEST_NUMBERS:
            return False
        if first.offset < self.next_offset:
            return False
        if not (np.diff(offsets_of(records)) > 0).all():
            return False
        if isinstance(records, Decoded):
            return records.same(MODEL) and bool((records.lengths(INPUT) == length).all())
        return {record.model_id for record in records} == {first.model_id} and set(
            map(input_length, records)
        ) == {length}

    def _length_of(self, name: str, length: int) -> int:
        """The input length of a model; of a new one, it is settled by its first record."""
        known = self.lengths.get(name)
        if known is None:
            known = self.lengths[name] = self._first_length(name, length)
            self.first_seen(name)
        return known

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
