"""Hours of traffic in which every session is short: memory must stay flat, and an attack must still be found.

The core alone, in this process: no servers, no clock.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.faults.account import Account
from detector import profile, shard_state
from detector.pipeline import Shard
from detector.query import Record
from detector.settings import Settings
from tests import traffic

HOURS = 8.0
QUERIES = 2
"""Queries of each session that comes and goes."""
ATTACKS = 8
"""Inversions, spread over the hours."""
ATTACK_QUERIES, ATTACK_SECONDS = 300, 2.0
"""Of each: queries, and seconds between two of them."""
SAMPLES = 20
"""Times at which memory is looked at."""
FLAT = 1.05
"""The later half may hold so much more than the most of the earlier half, and no more."""


def churn(profile_file: Path, sessions: int, memory_mb: int) -> Account:
    """`sessions` sessions in HOURS of event time, with state bounded by `memory_mb`."""
    account = Account(f"{sessions:,} sessions in {HOURS:.0f} hours of event time, bound of {memory_mb} MB")
    settings = Settings(learn=False, memory=memory_mb << 20)
    shard = Shard(settings, profile.load(profile_file), "churn", 0)
    found: set[str] = set()
    benign: set[str] = set()
    sampled: list[float] = []
    queries = 0
    began = time.process_time()
    per_sample = sessions * QUERIES // SAMPLES
    for records in _batches(sessions):
        for alert in shard.process(records).alerts:
            user = alert.document["user"]["id"]
            (found if user.startswith("attacker") else benign).add(user)
        queries += len(records)
        if queries >= per_sample * (len(sampled) + 1) and len(sampled) < SAMPLES:
            sampled.append(resident_mb())
    seconds = time.process_time() - began
    table = shard.models["toy"].sessions
    began = time.process_time()
    size = len(shard_state.dump(shard))
    dumped = time.process_time() - began
    account.note(f"{queries:,} queries, {queries / seconds:,.0f} queries/s of processor time")
    account.note(
        f"{table.capacity:,} slots, {len(table):,} sessions alive at the end, {table.evicted:,} evicted"
    )
    account.note(f"a saved state has {size / 2**20:.0f} MB and takes {dumped:.1f} s")
    account.note("resident MB: " + " ".join(f"{mb:.0f}" for mb in sampled))
    account.note(f"{len(found)} of {ATTACKS} attacks found, {len(benign)} benign sessions alerted")
    early, late = max(sampled[2 : SAMPLES // 2]), max(sampled[SAMPLES // 2 :])
    account.demand(late <= FLAT * early, f"memory grew from {early:.0f} to {late:.0f} MB in the later half")
    account.demand(len(found) == ATTACKS, f"{ATTACKS - len(found)} attacks were missed")
    return account


def _batches(sessions: int) -> Iterator[list[Record]]:
    """Records by time, some thousands at a time."""
    attack = iter(sorted(_attacks(), key=lambda record: record.timestamp))
    waiting = next(attack, None)
    rng = np.random.default_rng(5)
    span = HOURS * 3600.0
    offset = 0
    # Drawn in slices of event time, so that the generator itself stays small.
    slices = 1000
    each = sessions // slices
    for part in range(slices):
        start = traffic.START + span * part / slices
        begins = start + rng.uniform(0.0, span / slices, each)
        times = np.concatenate([begins + n * 0.01 for n in range(QUERIES)])
        owners = np.tile(np.arange(each), QUERIES)
        inputs = np.round(traffic.draw(rng, len(times)), 6)
        answers = traffic.answers(inputs)
        records = []
        for i in np.argsort(times, kind="stable").tolist():
            while waiting is not None and waiting.timestamp <= times[i]:
                records.append(waiting)
                waiting = next(attack, None)
            client = f"user-{part}-{owners[i]}"
            records.append(
                Record(float(times[i]), "toy", client, inputs[i].tolist(), probabilities=answers[i].tolist())
            )
        for record in records:
            record.offset = offset
            offset += 1
        yield records


def _attacks() -> Iterator[Record]:
    span = HOURS * 3600.0
    for n in range(ATTACKS):
        at = traffic.START + span * (n + 0.3) / ATTACKS
        for i, query in enumerate(traffic.inversion(seed=n, queries=ATTACK_QUERIES)):
            yield Record(
                at + i * ATTACK_SECONDS,
                "toy",
                query["client_id"],
                query["input"],
                session_id=query["session_id"],
                probabilities=query["probabilities"],
            )


def resident_mb() -> float:
    """Memory of this process [MB]."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20
