"""`querywatch` as processes of its own, on a topic and a namespace of one test."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from elasticsearch import Elasticsearch
from kafka import KafkaProducer

from tests import traffic
from tests.servers.elasticsearch import ElasticsearchServer
from tests.servers.kafka import KafkaServer

ROOT = Path(__file__).resolve().parent.parent


FROZEN = 'profile = "toy.qwp"\nlearn = false'
"""Judged by what `fit_toy` learned, and nothing else."""


def querywatch(folder: Path, *arguments: object, expect: int = 0) -> str:
    """Run the command in `folder`; its standard output."""
    done = subprocess.run(
        [sys.executable, "-m", "detector", *map(str, arguments)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == expect, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout


def produce(server: KafkaServer, topic: str, queries: Iterable[dict[str, Any]]) -> None:
    """One record a query, each client on a partition of its own choosing, in order."""
    producer = KafkaProducer(bootstrap_servers=server.bootstrap, acks="all")
    for query, line in zip(queries, traffic.lines(queries), strict=True):
        producer.send(topic, key=query["client_id"].encode(), value=line)
    producer.flush()
    producer.close()


class Deployment:
    """A topic, a namespace, a configuration that names both."""

    def __init__(
        self,
        folder: Path,
        kafka: KafkaServer,
        elasticsearch: ElasticsearchServer,
        topic: str,
        namespace: str,
        detection: str,
    ) -> None:
        self.folder, self.kafka, self.topic, self.namespace = folder, kafka, topic, namespace
        self.client = Elasticsearch(elasticsearch.url)
        self._elasticsearch = elasticsearch
        self._detection = detection
        self.config = folder / "querywatch.toml"
        self.configure("group-" + uuid.uuid4().hex)

    def configure(self, group: str) -> None:
        self.config.write_text(
            f"[detection]\n{self._detection}\n"
            f'[kafka]\nbootstrap_servers = ["{self.kafka.bootstrap}"]\ntopic = "{self.topic}"\n'
            f'group_id = "{group}"\n'
            f'[elasticsearch]\nhosts = ["{self._elasticsearch.url}"]\nnamespace = "{self.namespace}"\n'
            f"[state]\nsave_seconds = 0.5\n"
            f"[health]\nport = 0\n"
        )

    def run(self) -> None:
        querywatch(self.folder, "run", "--config", self.config, "--until-end")

    def found(self, kind: str) -> dict[str, dict[str, Any]]:
        """Documents about clients by id, by a search on `event.kind`, without what the sink's edge added."""
        stream = f"logs-querywatch.alerts-{self.namespace}"
        self.client.indices.refresh(index=stream)
        query = {
            "bool": {
                "filter": {"term": {"event.kind": kind}},
                "must_not": {"term": {"querywatch.entity.kind": "detector"}},
            }
        }
        hits = self.client.search(index=stream, query=query, size=1000)["hits"]["hits"]
        out = {}
        for hit in hits:
            document = hit["_source"]
            assert document["event"].pop("created")
            assert document["event"].pop("ingested")
            out[hit["_id"]] = document
        return out


def replayed(path: Path, namespace: str) -> dict[str, dict[str, dict[str, Any]]]:
    """What `replay --alerts` wrote, by kind and id, in the namespace of the live documents."""
    out: dict[str, dict[str, dict[str, Any]]] = {"alert": {}, "event": {}}
    for line in path.read_bytes().splitlines():
        document = json.loads(line)
        document["data_stream"]["namespace"] = namespace
        out[document["event"]["kind"]][document.pop("_id")] = document
    return out


def fit_toy(folder: Path) -> None:
    """Learn toy.qwp from benign traffic."""
    traffic.write(folder / "history.ndjson", traffic.benign(300, seed=1))
    querywatch(folder, "fit", "history.ndjson", "--profile", "toy.qwp")


def replay_frozen(folder: Path, namespace: str) -> dict[str, dict[str, dict[str, Any]]]:
    """What `replay` of log.ndjson finds by toy.qwp."""
    querywatch(folder, "replay", "log.ndjson", "--profile", "toy.qwp", "--frozen", "--alerts", "out.ndjson")
    return replayed(folder / "out.ndjson", namespace)


@contextmanager
def running(folder: Path, config: Path, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """`run` as a process, with its log in the file `log`; killed at the end if it still runs."""
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "detector", "run", "--config", str(config), *options],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stderr=log,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
