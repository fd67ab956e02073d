"""The stages of a replay alone, in this process: read and decode, to columns, the core.

Times are of the processor, so that other load on the machine matters little.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from connectors.files import FileSource
from connectors.formats.native import NativeDecoder
from detector.collector import calm_collector
from detector.columns import to_batch
from detector.config import Config
from detector.model_state import Settings
from detector.pipeline import Shard
from detector.profile import load
from detector.query import DeadLetter, QueryBatch, Record

END_OF_TIME = 4e9


def decode_all(log: Path, config: Config) -> list[list[Record]]:
    """The log's records in batches. Every line must decode."""
    limits = config.limits
    decoder = NativeDecoder(
        record_bytes=limits.record_bytes, nesting=limits.nesting, input_length=limits.input_length
    )
    source = FileSource(
        [log],
        batch_queries=config.pipeline.batch_queries,
        record_bytes=limits.record_bytes,
        latest=END_OF_TIME,
    )
    batches = []
    for raw in source.batches():
        records, bad = decoder.decode(raw)
        assert not bad
        batches.append(records)
    return batches


def stages(log: Path, profile: Path, *, learn: bool, times: int = 3) -> dict[str, float]:
    """Processor seconds of each stage, the best of `times`: decode, columns, core (columns included)."""
    calm_collector()
    config = Config()
    profiles = load(profile)
    batches = decode_all(log, config)

    def columns() -> list[tuple[QueryBatch, list[DeadLetter]]]:
        return [to_batch("bench", batch, "", 0) for batch in batches]

    def core() -> None:
        shard = Shard(Settings(learn=learn), profiles)
        for batch in batches:
            shard.process(batch)

    return {
        "read + decode": _best(lambda: decode_all(log, config), times),
        "columns": _best(columns, times),
        "core (with columns)": _best(core, times),
    }


def _best(work: Callable[[], object], times: int) -> float:
    seconds = []
    for _ in range(times):
        begun = time.process_time()
        work()
        seconds.append(time.process_time() - begun)
    return min(seconds)
