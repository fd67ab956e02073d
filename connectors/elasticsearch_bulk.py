"""Bulk `create` of alert documents: chunks, repeats with backoff, and what became of each document.

The client's own bulk helpers are not used: they raise on the first 429 and on duplicates, and take a
document in the failure store for delivered.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from elasticsearch import ApiError, Elasticsearch, TransportError

from connectors.elasticsearch_client import (
    NAME,
    OVERLOADED,
    ElasticsearchSettings,
    reason_of,
    refusal,
    to_sink_error,
)
from detector.errors import SinkError, SinkNotReady, SinkUnavailable

log = logging.getLogger(__name__)

CHUNK_DOCUMENTS = 500
CHUNK_BYTES = 5 * 1024 * 1024
_FIRST_BACKOFF_SECONDS = 0.25
_LONGEST_BACKOFF_SECONDS = 15.0


class Item(msgspec.Struct, frozen=True):
    """One document to create: its `_id`, its source, and the length of that in bytes."""

    id: str
    document: dict[str, Any]
    size: int


class Outcome(msgspec.Struct):
    """What became of the items: ids created and present before; ids refused with the reason."""

    created: list[str]
    duplicates: list[str]
    rejected: dict[str, str]


class BulkWriter:
    """Creates documents in one data stream, or says of each why not.

    `retry_seconds` bounds all repeats of one `write`. With `verify`, ids that may have been stored by an
    earlier try are looked up in all backing indices before they are sent again, since an `_id` is unique
    in one backing index only and a rollover may lie between. Where that is forbidden, it is told in the log
    and they are sent all the same, or with `never_twice` SinkNotReady is raised.
    """

    def __init__(
        self,
        client: Elasticsearch,
        stream: str,
        settings: ElasticsearchSettings,
        *,
        retry_seconds: float,
        verify: bool,
        never_twice: bool = False,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client, self._stream, self._settings = client, stream, settings
        self._retry_seconds, self._verify, self._sleep = retry_seconds, verify, sleep
        self._never_twice = never_twice

    def write(self, items: Sequence[Item]) -> Outcome:
        """Send all. Any may be stored already: a process was killed, or another member had the partition.

        Raises SinkUnavailable when time is up, SinkNotReady for what a person must mend; then writing the
        same items again is safe.
        """
        outcome = Outcome([], [], {})
        waiting = [(chunk, True) for chunk in _chunks(items)]
        waiting.reverse()
        deadline = time.monotonic() + self._retry_seconds
        failures = 0
        while waiting:
            chunk, unclear = waiting.pop()
            try:
                if unclear and self._verify:
                    chunk = self._without_stored(chunk, outcome)
                again = self._send(chunk, outcome) if chunk else []
                problem: SinkError = SinkUnavailable(NAME, f"refuses {len(again)} documents for load (429)")
            except ApiError as error:
                status = error.meta.status
                if status in {400, 413}:
                    waiting += self._smaller(chunk, unclear, status, reason_of(error.body), outcome)
                    continue
                again, unclear = chunk, status != 429
                problem = to_sink_error(error, self._settings)
            except TransportError as error:
                again, unclear = chunk, True
                problem = to_sink_error(error, self._settings)
            if isinstance(problem, SinkNotReady):
                raise problem
            if again:
                failures += 1
                waiting.append((again, unclear))
                self._wait(failures, deadline, problem)
        return outcome

    def _send(self, chunk: list[Item], outcome: Outcome) -> list[Item]:
        """One bulk request. Returns the items that the cluster had no room for."""
        operations: list[dict[str, Any]] = []
        for item in chunk:
            operations += [{"create": {"_id": item.id}}, item.document]
        answer = self._client.bulk(index=self._stream, operations=operations, require_data_stream=True)
        results = [result["create"] for result in answer["items"]]
        if len(results) != len(chunk):
            raise SinkNotReady(NAME, f"answers {len(results)} results for {len(chunk)} documents")
        return [
            item for item, result in zip(chunk, results, strict=True) if self._busy(item, result, outcome)
        ]

    def _busy(self, item: Item, result: dict[str, Any], outcome: Outcome) -> bool:
        """File one result under `outcome`; true when the item must be sent again."""
        status = int(result["status"])
        if status in OVERLOADED:
            return True
        reason = reason_of(result)
        if status == 201 and result.get("failure_store") == "used":
            outcome.rejected[item.id] = "went to the failure store, which alert rules do not read"
        elif status == 201:
            if not str(result.get("_index", "")).startswith(".ds-"):
                raise SinkNotReady(NAME, f"{self._stream} is a plain index, not a data stream; remove it")
            outcome.created.append(item.id)
        elif status == 409:
            outcome.duplicates.append(item.id)
        elif status in {400, 413}:
            outcome.rejected[item.id] = reason
        elif status == 404:
            raise SinkNotReady(
                NAME,
                f"{self._stream} is no data stream and no index template makes it one ({reason}); "
                f"start again so that the template is installed",
            )
        else:
            raise refusal(status, reason, self._settings)
        return False

    def _smaller(
        self, chunk: list[Item], unclear: bool, status: int, reason: str, outcome: Outcome
    ) -> list[tuple[list[Item], bool]]:
        """The chunk in halves, the first half on top; a single document that is refused is rejected."""
        if len(chunk) == 1:
            problem = "larger than the cluster takes" if status == 413 else reason
            outcome.rejected[chunk[0].id] = problem
            return []
        middle = len(chunk) // 2
        return [(chunk[middle:], unclear), (chunk[:middle], unclear)]

    def _without_stored(self, chunk: list[Item], outcome: Outcome) -> list[Item]:
        stored = self._stored([item.id for item in chunk])
        outcome.duplicates += [item.id for item in chunk if item.id in stored]
        return [item for item in chunk if item.id not in stored]

    def _stored(self, ids: list[str]) -> set[str]:
        """Which of the ids some backing index holds."""
        try:
            # A search sees what was refreshed; the last second before a rollover may not have been.
            self._client.options(ignore_status=404).indices.refresh(index=self._stream)
            answer = self._client.search(
                index=self._stream,
                query={"ids": {"values": ids}},
                source=False,
                size=len(ids),
                ignore_unavailable=True,
                allow_no_indices=True,
                allow_partial_search_results=False,
            )
        except ApiError as error:
            if error.meta.status != 403:
                raise
            if self._never_twice:
                raise SinkNotReady(
                    NAME,
                    f"what {self._stream} holds may not be asked, so an alert might be stored twice; give "
                    f"the API key maintenance and read on it",
                ) from error
            log.warning(
                "may not refresh and read %s (rights maintenance, read): a repeat across a rollover may "
                "store an alert twice",
                self._stream,
            )
            return set()
        return {hit["_id"] for hit in answer["hits"]["hits"]}

    def _wait(self, failures: int, deadline: float, problem: SinkError) -> None:
        longest = min(_LONGEST_BACKOFF_SECONDS, _FIRST_BACKOFF_SECONDS * 2.0 ** min(failures - 1, 16))
        # Full jitter keeps many detectors from coming back in step; it decides nothing secret.
        pause = random.uniform(longest / 2, longest)  # noqa: S311
        if time.monotonic() + pause > deadline:
            raise problem
        log.warning("%s; trying again in %.1f s", problem, pause)
        self._sleep(pause)


def _chunks(items: Sequence[Item]) -> list[list[Item]]:
    chunks: list[list[Item]] = []
    size = 0
    for item in items:
        if not chunks or len(chunks[-1]) == CHUNK_DOCUMENTS or size + item.size > CHUNK_BYTES:
            chunks.append([])
            size = 0
        chunks[-1].append(item)
        size += item.size
    return chunks
