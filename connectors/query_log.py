"""Log files to records: decoded, several files merged by time, dead letters beside them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Protocol

from connectors.files import FileSource, LogFile
from connectors.merge import LateCounter, merge
from detector.query import DeadLetter, RawBatch, Record


class Decoder(Protocol):
    """A log format: `connectors.formats.native.NativeDecoder` and its like."""

    def decode(self, batch: RawBatch) -> tuple[list[Record], list[DeadLetter]]:
        """Every value as a record or a dead letter."""


class QueryLog:
    """The records of a `FileSource`, in one order, each at a position of its own.

    One file keeps its order and its line numbers as offsets. Several files are merged by time and their
    records are numbered from 0 in the merged order, while dead letters keep file and line. `late` counts
    records more than `window_seconds` behind the newest before them; they are delivered all the same.
    """

    def __init__(
        self, source: FileSource, decoder: Decoder, *, batch_queries: int, window_seconds: float
    ) -> None:
        self._source = source
        self._decoder = decoder
        self._batch_queries = batch_queries
        self._late = LateCounter(window_seconds)
        self._letters: list[DeadLetter] = []

    @property
    def late(self) -> int:
        """Late records so far."""
        return self._late.late

    def batches(self) -> Iterator[tuple[list[Record], list[DeadLetter]]]:
        """Yield records and the dead letters met while reading them. Raises SourceError."""
        files = self._source.files
        groups = self._decoded(files[0]) if len(files) == 1 else self._merged(files)
        for records in groups:
            for record in records:
                self._late.add(record.timestamp)
            letters, self._letters = self._letters, []
            if records or letters:
                yield records, letters
        if self._letters:
            yield [], self._letters

    def _decoded(self, file: LogFile) -> Iterator[list[Record]]:
        for batch in file.batches():
            records, letters = self._decoder.decode(batch)
            self._letters += file.take_dead_letters() + letters
            yield records
        self._letters += file.take_dead_letters()

    def _merged(self, files: list[LogFile]) -> Iterator[list[Record]]:
        merged = merge([self._one_by_one(file) for file in files])
        position = 0
        while records := list(islice(merged, self._batch_queries)):
            for record in records:
                record.offset = position
                position += 1
            yield records

    def _one_by_one(self, file: LogFile) -> Iterator[Record]:
        for records in self._decoded(file):
            yield from records
