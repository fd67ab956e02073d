"""`querywatch run` on a real Kafka: queries a second of one worker and of several, once they have joined.

The records are written in one transaction that is not committed, so that the workers see none of them while
they start and share out the partitions; the commit shows them all at one moment.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from confluent_kafka import Producer

from benchmarks.throughput.prepared import Prepared, read_log
from tests.servers.elasticsearch import ElasticsearchServer
from tests.servers.kafka import KafkaServer
from tests.servers.process import free_row_of_ports

PARTITIONS = 4
PATIENCE_SECONDS = 300.0
QUIET_SECONDS = 3.0
"""Without a rebalance for so long, the workers have shared the partitions out."""
TICKS = os.sysconf("SC_CLK_TCK")


class Topic:
    """A topic with the log's records, each client's in one partition, hidden until `show`."""

    def __init__(self, server: KafkaServer, log: Path) -> None:
        self.server, self.name = server, f"throughput-{uuid.uuid4().hex}"
        server.create_topic(self.name, PARTITIONS)
        self._producer = Producer(
            {
                "bootstrap.servers": server.bootstrap,
                "transactional.id": self.name,
                "transaction.timeout.ms": 600_000,
                "linger.ms": 50,
                "log_level": 0,
            }
        )
        self._producer.init_transactions(60)
        self._producer.begin_transaction()
        for raw in read_log(log):
            for value in raw.values:
                client = value.partition(b'"client_id": "')[2].partition(b'"')[0]
                self._producer.produce(self.name, value, key=client)
            self._producer.flush()

    def show(self) -> None:
        """Let consumers see the records."""
        self._producer.commit_transaction(60)

    def remove(self) -> None:
        """Give the disk back."""
        self.server.delete_topic(self.name)


def from_kafka(
    prepared: Prepared,
    folder: Path,
    topic: Topic,
    elasticsearch: ElasticsearchServer | None,
    *,
    workers: int,
    client: str,
) -> dict[str, float]:
    """All records of a topic that is still hidden, into Elasticsearch or else the embedded database.

    `seconds` by the wall clock from when they can be seen until the last was processed; `cpu` of the workers'
    processors in that time.
    """
    name, port = uuid.uuid4().hex, free_row_of_ports(workers)
    config, log = folder / f"{name}.toml", folder / f"{name}.log"
    config.write_text(
        f'[detection]\nprofile = "{prepared.profile}"\nlearn = false\n'
        f'[kafka]\nbootstrap_servers = ["{topic.server.bootstrap}"]\ntopic = "{topic.name}"\n'
        f'group_id = "{name}"\nclient = "{client}"\n'
        f"[elasticsearch]\nhosts = {json.dumps([elasticsearch.url] if elasticsearch else [])}\n"
        f'namespace = "{name}"\n[state]\ndirectory = "{folder / name}"\n'
        f'[sqlite]\npath = "{folder / name}.sqlite"\n[health]\nport = {port}\n',
        encoding="utf-8",
    )
    command = [sys.executable, "-m", "detector", "run", "--config", str(config), "--workers", str(workers)]
    with log.open("wb") as errors, subprocess.Popen(command, stderr=errors) as process:
        try:
            _wait(lambda: _settled(log, workers), log)
            pids = _pids(log) or [process.pid]
            ports = [port + n for n in range(workers)]
            before, begun = _cpu(pids), time.perf_counter()
            topic.show()
            _wait(lambda: sum(map(_processed, ports)) >= prepared.queries, log)
            seconds, cpu = time.perf_counter() - begun, _cpu(pids) - before
            process.send_signal(signal.SIGTERM)
            if process.wait(60) != 0:
                raise SystemExit(log.read_text(encoding="utf-8"))
        finally:
            process.kill()
    alerts = sum(said["alerts"] for said in _events(log) if said["event"] == "stopped")
    return {"seconds": seconds, "cpu": cpu, "alerts": float(alerts)}


def _wait(condition: Callable[[], bool], log: Path) -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > until:
            raise SystemExit(f"querywatch does not get on:\n{log.read_text(encoding='utf-8')}")
        time.sleep(0.1)


def _events(log: Path) -> list[dict[str, Any]]:
    whole = log.read_bytes().rpartition(b"\n")[0]
    return [json.loads(line) for line in whole.splitlines() if line.startswith(b"{")]


def _settled(log: Path, workers: int) -> bool:
    begun = {said.get("worker", 1) for said in _events(log) if "begins at offset" in said["event"]}
    return len(begun) == workers and time.time() - log.stat().st_mtime > QUIET_SECONDS


def _pids(log: Path) -> list[int]:
    for said in _events(log):
        if said["event"] == "workers started":
            return list(said["processes"].values())
    return []


def _processed(port: int) -> int:
    """Queries that the worker at this port has processed."""
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", "/metrics")
    said = connection.getresponse().read().decode()
    connection.close()
    for line in said.splitlines():
        if line.startswith("querywatch_queries_total "):
            return int(float(line.split()[1]))
    raise SystemExit("the metrics do not say how many queries were processed")


def _cpu(pids: list[int]) -> float:
    """Processor seconds of these processes so far."""
    seconds = 0.0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        seconds += (int(fields[11]) + int(fields[12])) / TICKS
    return seconds
