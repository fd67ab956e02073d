"""Log files to records: decoded, several files merged by time, dead letters handed over as they come."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import msgspec
import numpy as np

from connectors.ahead import ahead
from connectors.files import FileSource, LogFile
from connectors.merge import LateCounter, merge
from detector.decoded import Decoded
from detector.query import DeadLetter, RawBatch, Record
from detector.records import as_records

Read = tuple[Sequence[Record], list[DeadLetter]]
"""Records that came in a row, and the dead letters among them."""


class Decoder(Protocol):
    """A log format: `connectors.formats.native.NativeDecoder` and its like."""

    def decode(self, batch: RawBatch) -> tuple[Sequence[Record], list[DeadLetter]]:
        """Every value as a record or a dead letter."""


class QueryLog:
    """The records of a `FileSource`, in one order, each at a position of its own.

    One file keeps its order and its line numbers as offsets. Several files are merged by time and their
    records are numbered from 0 in the merged order; `at_its_origin` gives a dead letter that was made of
    one of them its file and line back. Dead letters of the decoder go to `take_letters` as they are met,
    so that a log of nothing else needs no memory. `late` counts records more than `window_seconds` behind
    the newest before them; they are delivered all the same.
    """

    def __init__(
        self,
        source: FileSource,
        decoder: Decoder,
        take_letters: Callable[[list[DeadLetter]], None],
        *,
        batch_queries: int,
        window_seconds: float,
    ) -> None:
        self._source = source
        self._decoder = decoder
        self._take_letters = take_letters
        self._batch_queries = batch_queries
        self._late = LateCounter(window_seconds)
        self._origins: list[tuple[str, int]] = []
        self._first = 0

    @property
    def late(self) -> int:
        """Late records so far."""
        return self._late.late

    def batches(self) -> Iterator[Sequence[Record]]:
        """Yield records, at most about `batch_queries` at a time. Raises SourceError."""
        files = self._source.files
        for records in self._records(self._ahead(files[0])) if len(files) == 1 else self._merged(files):
            self._late.add(as_records(records).times)
            yield records

    def at_its_origin(self, letter: DeadLetter) -> DeadLetter:
        """A dead letter made of a record of the last batch, naming the file and line it came from."""
        if not self._origins:
            return letter
        source, line = self._origins[letter.offset - self._first]
        return msgspec.structs.replace(letter, source=source, offset=line)

    def _ahead(self, file: LogFile) -> Iterator[Read]:
        # A pipe may keep its reader waiting for ever, and this one could not be told to stop.
        return self._read(file) if file.bytes_total is None else ahead(self._read(file))

    def _read(self, file: LogFile) -> Iterator[Read]:
        for batch in file.batches():
            records, letters = self._decoder.decode(batch)
            yield records, file.take_dead_letters() + letters

    def _records(self, reads: Iterator[Read]) -> Iterator[Sequence[Record]]:
        for records, letters in reads:
            if letters:
                self._take_letters(letters)
            if records:
                yield records

    def _merged(self, files: list[LogFile]) -> Iterator[Sequence[Record]]:
        few: list[Record] = []
        origins: list[tuple[str, int]] = []
        for number, run in merge([self._records(self._read(file)) for file in files]):
            name = files[number].source
            if isinstance(run, Decoded):
                if few:
                    yield self._numbered(few, origins)
                    few, origins = [], []
                yield self._numbered(run, [(name, line) for line in run.offsets.tolist()])
                continue
            few += run
            origins += [(name, record.offset) for record in run]
            if len(few) >= self._batch_queries:
                yield self._numbered(few, origins)
                few, origins = [], []
        if few:
            yield self._numbered(few, origins)

    def _numbered(self, records: Sequence[Record], origins: list[tuple[str, int]]) -> Sequence[Record]:
        """The same records at their positions in the merged order."""
        self._first += len(self._origins)
        self._origins = origins
        if isinstance(records, Decoded):
            records.offsets = np.arange(self._first, self._first + len(records))
        else:
            for position, record in enumerate(records, self._first):
                record.offset = position
        return records
