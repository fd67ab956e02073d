"""`querywatch rekey`: a topic whose producers do not key by client, copied to one that is keyed so."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Sequence

import msgspec
import structlog

from connectors.formats.native import NativeDecoder
from connectors.kafka_rekey import Keys, TopicRekey
from connectors.query_log import Decoder
from detector.backoff import backoff
from detector.config import Config
from detector.errors import SinkUnavailable, SourceError, UsageError
from detector.query import RawBatch
from detector.stopping import stopped_by_signals

TURN_SECONDS = 0.5
REPORT_SECONDS, FOLLOW_SECONDS = 30.0, 60.0
"""Time between two log lines on progress, and between two looks for partitions that were added."""

log = structlog.get_logger(__name__)


def keys_by(decoder: Decoder) -> Keys:
    """The client id of each record, UTF-8; None for a record that the detector will refuse."""

    def keys(values: Sequence[bytes]) -> list[bytes | None]:
        found: list[bytes | None] = [None] * len(values)
        records, _ = decoder.decode(RawBatch("", 0, list(values), list(range(len(values))), math.inf))
        for record in records:
            found[record.offset] = record.client_id.encode(errors="surrogatepass")
        return found

    return keys


def rekey(config: Config, source_topic: str, *, until_end: bool = False) -> tuple[int, int]:
    """Copy until a signal, or until the end that the source has at the start.

    Returns how many records were copied, and how many of them without a key. Raises what a person must
    mend. Once it has begun, a broker that is away is waited for.
    """
    if source_topic == config.kafka.topic:
        raise UsageError(f"{source_topic!r} is kafka.topic itself, where the copy goes; name another to read")
    limits = config.limits
    # The id as it is, also where alerts carry hashes of it: the value next to it holds it too.
    decoder = NativeDecoder(
        record_bytes=limits.record_bytes, nesting=limits.nesting, input_length=limits.input_length
    )
    source = msgspec.structs.replace(config.kafka, topic=source_topic)
    copy = TopicRekey(
        source,
        config.kafka,
        keys_by(decoder),
        batch_records=config.pipeline.batch_queries,
        metadata_seconds=FOLLOW_SECONDS,
    )
    stop = threading.Event()
    with stopped_by_signals(stop):
        return _Run(copy, stop).run(until_end=until_end), copy.unkeyed


class _Run:
    """One run: opens, copies, and opens again when a broker was away."""

    def __init__(self, copy: TopicRekey, stop: threading.Event) -> None:
        self._copy, self._stop = copy, stop
        self._copied = self._attempt = 0
        self._ends: dict[int, int] | None = None

    def run(self, *, until_end: bool) -> int:
        while not self._stop.is_set():
            try:
                self._copy.open()
                if self._ends is None:
                    self._ends = self._copy.ends()
                self._go_on(self._ends if until_end else None)
                break
            except (SourceError, SinkUnavailable) as error:
                if self._ends is None or getattr(error, "offset", -1) >= 0:
                    raise
                self._attempt += 1
                log.error("cannot copy, trying again", problem=str(error), attempt=self._attempt)
            finally:
                self._copy.close()
            self._stop.wait(backoff(self._attempt))
        log.info("stopped", copied=self._copied, without_key=self._copy.unkeyed)
        return self._copied

    def _go_on(self, ends: dict[int, int] | None) -> None:
        """Copy until told to stop, or until everything before `ends` is copied."""
        began = reported = followed = time.monotonic()
        while not self._stop.is_set():
            copied = self._copy.turn(TURN_SECONDS)
            self._copied += copied
            self._attempt = 0
            now = time.monotonic()
            if now - reported >= REPORT_SECONDS:
                reported = now
                log.info("copying", copied=self._copied, without_key=self._copy.unkeyed, seconds=now - began)
            if now - followed >= FOLLOW_SECONDS:
                followed = now
                self._copy.follow()
            if ends is not None and not copied and self._copy.is_past(ends):
                return
