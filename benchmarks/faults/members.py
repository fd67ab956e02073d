"""A second member that joins and leaves the group again and again while records come."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

from benchmarks.faults.account import Account
from benchmarks.faults.site import Site

CLIENTS = ("kafka-python", "confluent")


def join_and_leave(
    site: Site, queries: list[dict[str, Any]], rebalance: str, times: int = 10, seed: int = 1
) -> Account:
    """Records come in `2 * times` portions; before each other one a second member joins, or leaves.

    It reads through both clients in turn.
    """
    account = Account(f"a second member joins and leaves {times} times, {rebalance} rebalance")
    rng = random.Random(seed)
    topic = site.topic(partitions=4)
    detector = site.detector(topic, settings="[pipeline]\nbatch_queries = 500\n", rebalance=rebalance)
    configs = [_through(client, detector.config, site.client) for client in CLIENTS]
    portion = len(queries) // (2 * times) + 1
    portions = [queries[n : n + portion] for n in range(0, len(queries), portion)]
    moved = 0
    try:
        first = detector.start()
        first.wait_for("starting")
        for n in range(times):
            second = detector.start(config=configs[n % len(configs)])
            second.wait_for("starting")
            site.produce(topic, portions[2 * n])
            time.sleep(rng.uniform(0.0, 6.0))
            moved += any("begins at offset" in event["event"] for event in second.said())
            if n == times // 2:
                second.kill()
            else:
                second.stop()
            site.produce(topic, portions[2 * n + 1])
        detector.finish(first)
    finally:
        detector.close()
    account.note(f"it had partitions {moved} times; once it left by kill -9, else in order")
    account.demand(moved > 0, "the second member never had a partition")
    undisturbed = site.detector(topic)
    undisturbed.undisturbed()
    account.compare(detector, undisturbed)
    return account


def _through(client: str, config: Path, before: str) -> Path:
    """A copy of a configuration, with another `kafka.client`."""
    copy = config.with_name(f"{client}.toml")
    copy.write_text(config.read_text().replace(f'client = "{before}"', f'client = "{client}"'))
    return copy
