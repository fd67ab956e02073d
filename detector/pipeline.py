"""The way of the data, on one screen. Open this file first.

    records  ->  runs of one model      ->  columns     ->  sessions, features   ->  alerts
    (a shard's   and one input length       (to_batch)      models, policy           in the records'
     order)      (Shard._runs)                              (ModelState.process)     order

A *shard* is one Kafka partition, or one replayed log. `Shard.process` is a pure function of the shard's
state and the records: it never looks at a clock, the network or the environment, and cutting the same
records into other batches changes no alert.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from detector.alert import Alert
from detector.columns import to_batch
from detector.features.text import TEXT_FEATURES
from detector.model_state import ModelState, Settings
from detector.profile import ModelProfile
from detector.query import DeadLetter, Record

LARGEST_RUN = 8192
"""Queries that become columns at one go; bounds the working memory of long inputs."""
LARGEST_NUMBERS = 2**21
"""Numbers in those columns."""
TEXT = -1
"""Stands for the input length of texts, whatever theirs is."""
SWITCH_CLIENTS, SWITCH_QUERIES = 3, 16
"""A model's input length changes after this many clients and queries brought the new one."""


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


class Shard:
    """State of one shard: its models, and the offset up to which it has been processed."""

    def __init__(
        self, settings: Settings, profiles: Mapping[str, ModelProfile], source: str = "", partition: int = 0
    ) -> None:
        self.settings = settings
        self.source = source
        self.partition = partition
        self.next_offset = 0
        self.models: dict[str, ModelState] = {}
        self.lengths: dict[str, int] = {}
        self.odd: dict[tuple[str, int], OddLength] = {}
        self._profiles = profiles

    def process(self, records: Sequence[Record]) -> Outcome:
        """Account for records in the shard's order. A record delivered twice counts once."""
        outcome = Outcome()
        for run in self._runs(records, outcome):
            model_id = run[0].model_id
            batch, bad = to_batch(model_id, run, self.source, self.partition)
            outcome.dead_letters.extend(bad)
            if len(batch):
                outcome.queries += len(batch)
                outcome.alerts.extend(self._model(model_id, batch.inputs.shape[1]).process(batch))
        outcome.alerts.sort(key=lambda alert: alert.offset)
        outcome.dead_letters.sort(key=lambda letter: letter.offset)
        return outcome

    def _runs(self, records: Sequence[Record], outcome: Outcome) -> Iterator[list[Record]]:
        """Records of one model and one input length each, in order within the model."""
        runs: dict[str, list[Record]] = {}
        lengths = self.lengths
        for record in records:
            if record.offset < self.next_offset:
                outcome.repeated += 1
                continue
            self.next_offset = record.offset + 1
            name = record.model_id
            length = TEXT if isinstance(record.input, str) else len(record.input)
            expected = lengths.get(name)
            if expected is None:
                expected = lengths[name] = self._expected_length(name, length)
            if length != expected:
                if not self._switches(name, length, record.client_id):
                    outcome.dead_letters.append(self._wrong_length(record, length, expected))
                    continue
                if name in runs:
                    yield runs.pop(name)
                self.models.pop(name, None)
                lengths[name] = length
            run = runs.setdefault(name, [])
            run.append(record)
            if len(run) >= LARGEST_RUN or len(run) * length > LARGEST_NUMBERS:
                yield runs.pop(name)
        yield from runs.values()

    def _expected_length(self, name: str, length: int) -> int:
        """Length of this model's inputs: its profile's, else that of the first record."""
        profile = self._profiles.get(name)
        if profile is None or (length == TEXT and profile.input_length == TEXT_FEATURES):
            return length
        return profile.input_length

    def _switches(self, name: str, length: int, client: str) -> bool:
        """Count a query of another length; True when enough clients have moved to it.

        One odd row, or one client sending many, changes nothing.
        """
        odd = self.odd.setdefault((name, length), OddLength())
        odd.queries += 1
        if len(odd.clients) < SWITCH_CLIENTS:
            odd.clients.add(client)
        if len(odd.clients) < SWITCH_CLIENTS or odd.queries < SWITCH_QUERIES:
            return False
        self.odd = {key: value for key, value in self.odd.items() if key[0] != name}
        return True

    def _wrong_length(self, record: Record, length: int, expected: int) -> DeadLetter:
        said = [f"{n} numbers" if n != TEXT else "text" for n in (length, expected)]
        detail = f"input: {said[0]}, but this model takes {said[1]}"
        return DeadLetter("input_length", detail, record.raw, self.source, self.partition, record.offset)

    def _model(self, name: str, d: int) -> ModelState:
        state = self.models.get(name)
        if state is None:
            profile = self._profiles.get(name)
            if profile is not None and profile.input_length != d:
                profile = None
            state = self.models[name] = ModelState(name, d, self.settings, profile)
        return state
