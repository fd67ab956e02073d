"""Which model a record belongs to: a shard's records, split into batches of one model and input length."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from detector.alert import Alert
from detector.columns import to_batch
from detector.features.text import DIMENSIONS
from detector.query import DeadLetter, QueryBatch, Record

LARGEST_RUN = 8192
"""Queries that become columns at one go; bounds the working memory."""
LARGEST_NUMBERS = 2**21
"""Numbers in those columns."""
TEXT = -1
"""Stands for the input length of texts, whatever theirs is."""
SWITCH_CLIENTS, SWITCH_QUERIES = 3, 16
"""A model's input length changes after this many clients and queries brought the new one."""
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


class BatchReader(Protocol):
    """What takes the batches of one model: `ModelState`, or a sampler when a profile is fitted."""

    def process(self, batch: QueryBatch) -> list[Alert]:
        """Account for a batch in order."""


Reader = TypeVar("Reader", bound=BatchReader)


class Router(Generic[Reader]):
    """Hands each record to its model's reader, in the shard's order, and knows how far it has come.

    `make` gives the reader of a model with inputs of d numbers; `expected` the input lengths that are
    known beforehand. `source` and `partition` are named in dead letters.
    """

    def __init__(
        self, make: Callable[[str, int], Reader], expected: Mapping[str, int], source: str, partition: int
    ) -> None:
        self.source = source
        self.partition = partition
        self.next_offset = 0
        self.models: dict[str, Reader] = {}
        self.lengths: dict[str, int] = {}
        self.odd: dict[tuple[str, int], OddLength] = {}
        self._make = make
        self._expected = expected

    def process(self, records: Sequence[Record]) -> Outcome:
        """Account for records in the shard's order. A record delivered twice counts once."""
        outcome = Outcome()
        for run in self._runs(records, outcome):
            name = run[0].model_id
            batch, bad = to_batch(name, run, self.source, self.partition)
            outcome.dead_letters.extend(bad)
            if len(batch):
                if name not in self.models:
                    self.models[name] = self._make(name, batch.inputs.shape[1])
                outcome.queries += len(batch)
                outcome.alerts.extend(self.models[name].process(batch))
        outcome.alerts.sort(key=lambda alert: alert.offset)
        outcome.dead_letters.sort(key=lambda letter: letter.offset)
        return outcome

    def _runs(self, records: Sequence[Record], outcome: Outcome) -> Iterator[list[Record]]:
        """Records of one model and one input length each, in order within the model."""
        runs: dict[str, list[Record]] = {}
        # Of the model that the last record belonged to: most often the next one's too.
        name, expected, most = "", 0, 0
        run: list[Record] = []
        for record in records:
            if record.offset < self.next_offset:
                outcome.repeated += 1
                continue
            self.next_offset = record.offset + 1
            found = record.input
            length = TEXT if isinstance(found, str) else len(found)
            if record.model_id != name or not run:
                if record.model_id not in self.lengths and len(self.lengths) >= MOST_MODELS:
                    outcome.dead_letters.append(self._too_many_models(record))
                    continue
                name = record.model_id
                expected = self._length_of(name, length)
                run = runs.setdefault(name, [])
                most = max(1, min(LARGEST_RUN, LARGEST_NUMBERS // max(expected, 1)))
            if length != expected:
                if not self._switches(name, length, record.client_id):
                    outcome.dead_letters.append(self._wrong_length(record, length, expected))
                    continue
                if run:
                    yield run
                run = runs[name] = []
                self.models.pop(name, None)
                expected = self.lengths[name] = length
                most = max(1, min(LARGEST_RUN, LARGEST_NUMBERS // max(expected, 1)))
            run.append(record)
            if len(run) >= most:
                yield runs.pop(name)
                run = []
        yield from (run for run in runs.values() if run)

    def _length_of(self, name: str, length: int) -> int:
        """The input length of a model; of a new one, it is settled by its first record."""
        known = self.lengths.get(name)
        if known is None:
            known = self.lengths[name] = self._first_length(name, length)
        return known

    def _first_length(self, name: str, length: int) -> int:
        """Length of this model's inputs: the one known beforehand, else that of the first record."""
        expected = self._expected.get(name, length)
        return TEXT if length == TEXT and expected == DIMENSIONS else expected

    def _switches(self, name: str, length: int, client: str) -> bool:
        """Count a query of another length; True when enough clients have moved to it.

        One odd row, or one client sending many, changes nothing.
        """
        if (name, length) not in self.odd and len(self.odd) >= MOST_ODD:
            del self.odd[next(iter(self.odd))]
        odd = self.odd.setdefault((name, length), OddLength())
        odd.queries += 1
        if len(odd.clients) < SWITCH_CLIENTS:
            odd.clients.add(client)
        if len(odd.clients) < SWITCH_CLIENTS or odd.queries < SWITCH_QUERIES:
            return False
        self.odd = {key: value for key, value in self.odd.items() if key[0] != name}
        return True

    def _too_many_models(self, record: Record) -> DeadLetter:
        detail = f"model_id: {MOST_MODELS} other models are known already"
        return DeadLetter("too_many_models", detail, record.raw, self.source, self.partition, record.offset)

    def _wrong_length(self, record: Record, length: int, expected: int) -> DeadLetter:
        said = [f"{n} numbers" if n != TEXT else "text" for n in (length, expected)]
        detail = f"input: {said[0]}, but this model takes {said[1]}"
        return DeadLetter("input_length", detail, record.raw, self.source, self.partition, record.offset)
