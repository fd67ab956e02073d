"""What a peer sees: the queries of one model in time order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from benchmarks.traces.log import Session
from benchmarks.traces.recording import BoolArray
from benchmarks.traces.targets import Target
from detector.query import FloatArray, IntArray


@dataclass(frozen=True)
class Stream:
    """Queries of one model in time order, or none.

    unit [n, d]     inputs, each column mapped to 0..1 by its public range
    labels [n]      the class that the model answered
    times [n]       epoch seconds
    clients [n]     number of the client
    sessions [n]    number of the session in the list that the stream was made of
    """

    target: Target
    unit: FloatArray
    labels: IntArray
    times: FloatArray
    clients: IntArray
    sessions: IntArray

    @classmethod
    def of(cls, target: Target, sessions: Sequence[Session]) -> Stream:
        """The queries to `target` among all sessions."""
        mine = [(i, s) for i, s in enumerate(sessions) if s.model_id == target.model_id]
        if not mine:
            none = np.empty(0, dtype=np.int64)
            return cls(target, np.empty((0, target.dataset.columns)), none, np.empty(0), none, none)
        names: dict[str, int] = {}
        clients = [names.setdefault(s.client_id, len(names)) for _, s in mine]
        lengths = [len(s.times) for _, s in mine]
        times = np.concatenate([s.times for _, s in mine])
        order = np.argsort(times, kind="stable")
        return cls(
            target,
            target.dataset.to_unit(np.vstack([s.inputs for _, s in mine]))[order],
            np.concatenate([s.answers.argmax(axis=1) for _, s in mine])[order],
            times[order],
            np.repeat(clients, lengths)[order],
            np.repeat([i for i, _ in mine], lengths)[order],
        )

    def __len__(self) -> int:
        return len(self.times)

    def by_client(self) -> Iterator[IntArray]:
        """Positions of each client's queries, in order."""
        yield from _groups(self.clients)

    def by_session(self) -> Iterator[tuple[int, IntArray]]:
        """Each session's number, and the positions of its queries in order."""
        for mine in _groups(self.sessions):
            yield int(self.sessions[mine[0]]), mine


def _groups(numbers: IntArray) -> list[IntArray]:
    if not numbers.size:
        return []
    order = np.argsort(numbers, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(numbers[order])) + 1)


class Peer(Protocol):
    """A published detector."""

    name: str

    def alarms(self, history: Stream, trace: Stream) -> BoolArray:
        """[n] True where a query of the trace raises an alarm; `history` is benign."""
        ...
