"""Log files to records: decoded, several files merged by time, dead letters handed over as they come."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Protocol

import msgspec

from connectors.ahead import ahead
from connectors.files import FileSource, LogFile
from connectors.merge import LateCounter, merge
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

    def _merged(self, files: list[LogFile]) -> Iterator[list[Record]]:
        came_from: dict[int, str] = {}  # by the identity of records that are held here

        def records_of(file: LogFile) -> Iterator[Record]:
            for records in self._records(self._read(file)):
                for record in records:
                    came_from[id(record)] = file.source
                    yield record

        merged = merge([records_of(file) for file in files])
        position = 0
        while records := list(islice(merged, self._batch_queries)):
            self._first = position
            self._origins = [(came_from.pop(id(record)), record.offset) for record in records]
            for record in records:
                record.offset = position
                position += 1
            yield records
