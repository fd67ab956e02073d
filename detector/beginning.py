"""The first queries of a model, kept until its units are learned from them, then measured from the first on.

What was measured before is in no units yet, or in those of fewer queries. So the tables begin anew with the
first query, as if the units had been known all along: nothing that came early is lost for the first profile,
nor for those who look back at it (`detector.hindsight`). Messages that come of it are late, and say so. An
episode that has been told of goes on under its name; of other entities of its client nothing is told.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from detector import remembered
from detector.columns import QueryBatch
from detector.finding import Finding, Raised
from detector.policy import ODD, SESSION
from detector.query import FloatArray, Record
from detector.records import Listed
from models.base import Arrays

Who = tuple[int, str, str, str]
"""Kind of the entity, tenant, client and session id, the last empty but for a session and its odd queries."""


_COLUMNS = ("confidence", "margin", "labels")
"""Of a batch, one number a query."""


class Told(NamedTuple):
    """The last message on an entity's episode: when that began, its number and the message's."""

    began: float
    episode: int
    revision: int


class Sent:
    """What was told of a model before its first queries are accounted for once more; `raised` says when that
    is, while it is done."""

    def __init__(self) -> None:
        self.raised: Raised | None = None
        self._told: dict[Who, Told] = {}
        self._resumed: set[Who] = set()

    def tell(self, finding: Finding) -> None:
        """A message goes out."""
        told = Told(finding.began, finding.episode, finding.revision)
        self._told[_who(finding.kind, finding.record)] = told

    @property
    def clients(self) -> set[tuple[str, str]]:
        """Of whom something was told, by tenant and id."""
        return {(tenant, client) for _, tenant, client, _ in self._told}

    def begin(self, raised: Raised) -> None:
        """The queries are accounted for once more."""
        self.raised = raised

    def end(self) -> None:
        """They have been."""
        self.raised = None
        for who in self._resumed:
            del self._told[who]
        self._resumed.clear()

    def before(self, kind: int, record: Record, *, first: bool) -> tuple[bool, Told | None]:
        """Whether a message, the `first` of an episode or not, is not to go out, since the client was told
        of; and the episode that the very entity which the record belongs to goes on in, if it was told of
        and did not go on in it before."""
        who = _who(kind, record)
        if self.raised is None:
            told = self._told.pop(who, None) if first else None
            return False, told._replace(revision=told.revision + 1) if told is not None else None
        if who in self._told:
            self._resumed.add(who)
        return (record.tenant_id, record.client_id) in self.clients, self._told.get(who)

    def state(self) -> list[tuple[Who, Told]]:
        """JSON-ready; it is only between two batches that this is asked."""
        return sorted(self._told.items())

    def load(self, state: Iterable[Any]) -> None:
        """The inverse of `state`."""
        self._told = {
            (kind, tenant, client, session): Told(*last) for (kind, tenant, client, session), last in state
        }


def _who(kind: int, record: Record) -> Who:
    session = record.session_id if kind in (SESSION, ODD) else ""
    return kind, record.tenant_id, record.client_id, session


class Beginning:
    """The first `until` queries of one model, but for their inputs, which are in its sample; with more than
    `numbers` probabilities in all they are not kept."""

    def __init__(self, model_id: str, until: int, numbers: int) -> None:
        self._model_id = model_id
        self._until = until
        self._widest = numbers // until
        self._columns: list[tuple[npt.NDArray[np.generic], ...]] = []
        self._probabilities: list[FloatArray] = []
        self._queries: list[Record] = []

    @property
    def room(self) -> int:
        """Queries that are still to come."""
        return self._until - len(self._queries)

    def add(self, batch: QueryBatch) -> bool:
        """Keep the next queries, at most `room`; False: they take too much, and nothing is kept any more."""
        if batch.probabilities.shape[1] > self._widest:
            return False
        self._probabilities.append(batch.probabilities.copy())
        self._columns.append(tuple(getattr(batch, name).copy() for name in _COLUMNS))
        self._queries += remembered.remember(batch.records)
        return True

    def batch(self, inputs: FloatArray) -> QueryBatch:
        """All of them, with their inputs [n, d]."""
        records = Listed(self._queries)
        confidence, margin, labels = (np.concatenate(column) for column in zip(*self._columns, strict=True))
        return QueryBatch(
            model_id=self._model_id,
            inputs=inputs,
            probabilities=self._padded(),
            confidence=confidence.astype(np.float64),
            margin=margin.astype(np.float64),
            labels=labels.astype(np.int64),
            timestamps=records.times,
            records=records,
        )

    def last(self) -> Raised:
        """When the last of them came."""
        return Raised(self._queries[-1].timestamp, self._queries[-1].offset)

    def _padded(self) -> FloatArray:
        widest = max(part.shape[1] for part in self._probabilities)
        out = np.full((len(self._queries), widest), np.nan)
        at = 0
        for part in self._probabilities:
            out[at : at + len(part), : part.shape[1]] = part
            at += len(part)
        return out

    def state(self) -> Arrays:
        """Everything, as arrays."""
        arrays: Arrays = {"queries": remembered.pack(self._queries)}
        if self._queries:
            for name, column in zip(_COLUMNS, zip(*self._columns, strict=True), strict=True):
                arrays[name] = np.concatenate(column)
            arrays["probabilities"] = self._padded()
        return arrays

    def load(self, arrays: Arrays) -> None:
        """The inverse of `state`."""
        self._queries = remembered.unpack(arrays["queries"], self._model_id)
        if self._queries:
            self._columns = [tuple(np.array(arrays[name]) for name in _COLUMNS)]
            self._probabilities = [np.array(arrays["probabilities"], dtype=np.float64)]
