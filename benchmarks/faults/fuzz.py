"""Records of which one in five is broken: each bad one is accounted for, each good one processed.

Decoder and core alone, in this process: no servers, no clock.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.faults.account import Account
from benchmarks.faults.broken import BREAKS, FUTURE_SECONDS, INPUT_LENGTH, NESTING, RECORD_BYTES, good
from benchmarks.faults.churn import resident_mb
from connectors.formats.native import NativeDecoder
from detector import profile
from detector.pipeline import Shard, warm_up
from detector.query import REASONS, RawBatch
from detector.settings import Settings
from tests import traffic

BATCH = 2000
BROKEN = 0.2
"""Share of broken records."""
MUTATED = 0.05
"""As many records again with some bytes changed at random. What they are then nobody can say: the decoder
alone must make a record or a dead letter of each."""
CLIENTS = 5000
MEMORY_MB = 64
"""Bound of the session state of a model; there are two."""
MOST_MB = 4 * MEMORY_MB
"""What the process may grow by after its first batch: both models, and as much again for the work."""


def fuzz(profile_file: Path, records: int, seed: int) -> Account:
    """`records` records through decoder and core."""
    account = Account(f"{records:,} records, {BROKEN:.0%} of them broken, seed {seed}")
    judging = profile.load(profile_file)
    warm_up(judging)
    decoder = NativeDecoder(record_bytes=RECORD_BYTES, nesting=NESTING, input_length=INPUT_LENGTH)
    shard = Shard(Settings(learn=False, memory=MEMORY_MB << 20), judging, "fuzz", 0)
    expected: Counter[str] = Counter()
    told: Counter[str] = Counter()
    processed = mutated = 0
    alerts: list[str] = []
    slowest = 0.0
    sampled: list[float] = []
    rng = random.Random(seed)
    for batch, reasons in _batches(records, rng):
        began = time.perf_counter()
        decoded, letters = decoder.decode(batch)
        outcome = shard.process(decoded)
        slowest = max(slowest, time.perf_counter() - began)
        told_here = {letter.offset: letter.reason for letter in [*letters, *outcome.dead_letters]}
        expected.update(reasons.values())
        told.update(letter.reason for letter in [*letters, *outcome.dead_letters])
        for offset in sorted(reasons.keys() | told_here.keys()):
            if reasons.get(offset) != told_here.get(offset) and len(account.problems) < 10:
                raw = batch.values[offset - batch.offsets[0]][:200]
                account.problems.append(
                    f"{told_here.get(offset)} instead of {reasons.get(offset)}: {raw!r} (offset {offset})"
                )
        processed += outcome.queries
        alerts += [alert.document["user"]["id"] for alert in outcome.alerts if "user" in alert.document]
        mutated += _mutate(decoder, batch, rng, account)
        sampled.append(resident_mb())
    bad = sum(expected.values())
    account.note(f"{bad:,} broken, {sum(told.values()):,} dead letters: {dict(sorted(told.items()))}")
    account.note(f"{records - bad:,} good, {processed:,} processed")
    # Clients whose records change their shape all the time are unlike the profile: how many alert says
    # nothing about detection.
    account.note(f"{len(alerts):,} alerts and updates, of {len(set(alerts)):,} clients")
    account.note(f"{mutated:,} more with bytes changed at random: each a record or a dead letter")
    account.note(f"the slowest batch of {BATCH:,} took {slowest:.2f} s")
    shown = sampled[:: max(1, len(sampled) // 10)]
    account.note("resident MB: " + " ".join(f"{mb:.0f}" for mb in shown))
    account.demand(told == expected, f"expected {dict(sorted(expected.items()))}")
    account.demand(processed == records - bad, f"{records - bad - processed:,} good records not processed")
    grown = max(sampled) - sampled[0]
    account.demand(grown <= MOST_MB, f"memory grew by {grown:.0f} MB, more than {MOST_MB} MB")
    return account


def _batches(records: int, rng: random.Random) -> Iterator[tuple[RawBatch, dict[int, str]]]:
    """Batches, with the reason due for each broken record by offset."""
    numbers = np.random.default_rng(rng.randrange(2**32))
    for first in range(0, records, BATCH):
        offsets = list(range(first, min(records, first + BATCH)))
        inputs = traffic.draw(numbers, len(offsets)).round(6)
        answers = traffic.answers(inputs)
        values: list[bytes] = []
        reasons: dict[int, str] = {}
        for row, offset in enumerate(offsets):
            query: dict[str, Any] = {
                "timestamp": traffic.START + offset * 0.01,
                "model_id": "toy",
                "client_id": f"client-{rng.randrange(CLIENTS)}",
                "input": inputs[row].tolist(),
                "probabilities": answers[row].tolist(),
            }
            if rng.random() < BROKEN:
                reasons[offset], make = rng.choice(BREAKS)
                values.append(make(rng, query))
            else:
                values.append(good(rng, query))
        latest = traffic.START + records * 0.01 + FUTURE_SECONDS
        yield RawBatch("fuzz", 0, values, offsets, latest), reasons


def _mutate(decoder: NativeDecoder, batch: RawBatch, rng: random.Random, account: Account) -> int:
    """Decode some records of the batch with bytes changed; how many there were."""
    values = []
    for _ in range(int(MUTATED * len(batch.values))):
        raw = bytearray(rng.choice(batch.values))
        for _ in range(rng.randrange(1, 6)):
            at, length = rng.randrange(len(raw) + 1), rng.randrange(4)
            raw[at : at + length] = rng.choice((rng.randbytes(length), b"[", b'"', b"e999", b"\\", b"0"))
        values.append(bytes(raw) or b"0")
    decoded, letters = decoder.decode(RawBatch("mutated", 0, values, list(range(len(values))), batch.latest))
    there = [record.offset for record in decoded] + [letter.offset for letter in letters]
    blank = sum(not value.removeprefix(b"\xef\xbb\xbf").strip() for value in values)
    account.demand(
        len(set(there)) == len(there) == len(values) - blank, "a record with changed bytes is gone"
    )
    account.demand(all(letter.reason in REASONS for letter in letters), "a dead letter of an unknown reason")
    return len(values)
