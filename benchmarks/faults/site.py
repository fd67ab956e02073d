"""What a soak runs on: the servers, a profile, topics; and detectors as processes of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elasticsearch import Elasticsearch, helpers
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import MemberToRemove

from detector.config import Sessions
from detector.edge import load_config, load_profiles, settings_of
from detector.self_alert import ENTITY
from detector.shard_state import VERSION, canonical_digest, dump, restore
from detector.state_store import StateStore
from tests import traffic
from tests.servers.elasticsearch import ElasticsearchServer
from tests.servers.kafka import KafkaServer

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 300.0
STOP_SECONDS = 30.0
ENDLESS_MINUTES = 1e6

States = dict[int, tuple[int, str]]
"""Next offset and canonical digest of each partition's saved state."""


class Site:
    """Servers that run, a folder, and a profile of the model `toy` in it.

    Detectors read through `client` (`kafka.client`). With `learn` they have no profile but what they learn as
    they go, else the one of the folder, which stays as it is. With `endless` no session ever ends.
    """

    def __init__(
        self,
        folder: Path,
        kafka: KafkaServer,
        elasticsearch: ElasticsearchServer,
        *,
        client: str = "kafka-python",
        learn: bool = False,
        endless: bool = False,
    ) -> None:
        self.folder, self.kafka, self.elasticsearch = folder, kafka, elasticsearch
        self.client, self.learn, self.endless = client, learn, endless
        self.sessions = Sessions(gap_minutes=ENDLESS_MINUTES) if endless else Sessions()
        self.profile = folder / "toy.qwp"
        if not self.profile.exists():
            traffic.write(folder / "history.ndjson", traffic.benign(300, seed=1))
            command(folder, "fit", "history.ndjson", "--profile", str(self.profile))

    def topic(self, queries: Iterable[Mapping[str, Any]] = (), partitions: int = 3) -> str:
        """A new topic with these records, keyed by client."""
        name = f"faults-{uuid.uuid4().hex[:12]}"
        self.kafka.create_topic(name, partitions)
        self.produce(name, queries)
        return name

    def produce(self, topic: str, queries: Iterable[Mapping[str, Any]]) -> None:
        """Add records, each client's to one partition, in order."""
        producer = KafkaProducer(bootstrap_servers=self.kafka.bootstrap, acks="all", linger_ms=5)
        try:
            for query in queries:
                producer.send(topic, key=query["client_id"].encode(), value=json.dumps(query).encode())
            producer.flush()
        finally:
            producer.close()

    def ends(self, topic: str) -> dict[int, int]:
        """The next offset to be written of each partition."""
        consumer = KafkaConsumer(bootstrap_servers=self.kafka.bootstrap)
        try:
            tps = [TopicPartition(topic, p) for p in sorted(consumer.partitions_for_topic(topic))]
            return {tp.partition: offset for tp, offset in consumer.end_offsets(tps).items()}
        finally:
            consumer.close()

    def give_up_members(self, group: str) -> None:
        """Let the broker give up members that were killed now, and not after 45 s without a sign of them."""
        admin = KafkaAdminClient(bootstrap_servers=self.kafka.bootstrap)
        try:
            members = admin.describe_groups([group])[group]["members"]
            if members:
                gone = [MemberToRemove(member_id=member["member_id"]) for member in members]
                admin.remove_group_members(group, gone)
        finally:
            admin.close()

    def detector(self, topic: str, **options: Any) -> Detector:
        """A detector of its own: group, namespace, state. `options` as of `Detector`."""
        return Detector(self, topic, **options)


def command(folder: Path, *arguments: str, root: Path = ROOT) -> str:
    """Run querywatch, as checked out at `root`, to its end in `folder`; its output. Raises when it fails."""
    done = subprocess.run(
        [sys.executable, "-m", "detector", *arguments],
        cwd=folder,
        env=_environment(root),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"querywatch {' '.join(arguments)} ended with {done.returncode}:\n{done.stderr}")
    return done.stdout


def _environment(root: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(root)}


@dataclass
class Member:
    """One process of a detector, and its log."""

    process: subprocess.Popen[bytes]
    log: Path

    def said(self) -> list[dict[str, Any]]:
        """The events of its log so far."""
        lines = self.log.read_bytes().splitlines()
        return [json.loads(line) for line in lines if line.startswith(b"{") and line.endswith(b"}")]

    def wait_for(self, event: str) -> None:
        """Wait until the log holds an event."""
        wait(lambda: any(e["event"] == event for e in self.said()), self.alive, f"the event {event!r}")

    def alive(self) -> None:
        """Raises RuntimeError with the end of the log when the process has ended."""
        if self.process.poll() is not None:
            end = self.log.read_text(errors="replace")[-3000:]
            raise RuntimeError(f"the detector ended with {self.process.returncode}:\n{end}")

    def kill(self) -> None:
        """End it at once with kill -9."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """SIGTERM; raises when it does not end well."""
        self.wait_for("starting")  # before that it has no handler
        self.process.send_signal(signal.SIGTERM)
        if self.process.wait(STOP_SECONDS) != 0:
            self.alive()


def wait(condition: Callable[[], bool], alive: Callable[[], None], what: str) -> None:
    """Wait until the condition holds. Raises RuntimeError after PATIENCE_SECONDS, or what `alive` raises."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        alive()
        if time.monotonic() > deadline:
            raise RuntimeError(f"waited {PATIENCE_SECONDS:.0f} s for {what}")
        time.sleep(0.02)


class Detector:
    """One deployment of querywatch on a topic: what its processes share.

    `url` is another way to Elasticsearch, `state` another state directory, `settings` more TOML;
    `rebalance` is `kafka.rebalance`, empty: the default.
    """

    def __init__(
        self,
        site: Site,
        topic: str,
        *,
        url: str = "",
        state: Path | None = None,
        settings: str = "",
        rebalance: str = "",
    ) -> None:
        self.site, self.topic = site, topic
        self.name = f"soak_{uuid.uuid4().hex[:12]}"
        self.folder = site.folder / self.name
        self.folder.mkdir()
        self.state = state or self.folder / "state"
        self.stream = f"logs-querywatch.alerts-{self.name}"
        self.members: list[Member] = []
        self.config = self.folder / "querywatch.toml"
        learning = "learn = true" if site.learn else f'profile = "{site.profile}"\nlearn = false'
        self.config.write_text(
            f"[detection]\n{learning}\n"
            f"[sessions]\ngap_minutes = {site.sessions.gap_minutes}\n"
            f'[kafka]\nclient = "{site.client}"\n'
            + (f'rebalance = "{rebalance}"\n' if rebalance else "")
            + f'bootstrap_servers = ["{site.kafka.bootstrap}"]\ntopic = "{topic}"\n'
            f'group_id = "{self.name}"\n'
            f'[elasticsearch]\nhosts = ["{url or site.elasticsearch.url}"]\nnamespace = "{self.name}"\n'
            f'[sqlite]\npath = "{self.folder / "querywatch.sqlite"}"\n'
            f"[health]\nport = 0\nunsaved_seconds = 1.0\n"
            f'[state]\ndirectory = "{self.state}"\nsave_seconds = 0.2\n{settings}'
        )

    def start(self, root: Path = ROOT, config: Path | None = None) -> Member:
        """Start one more process, of the release that is checked out at `root`."""
        log = self.folder / f"log-{len(self.members)}"
        with log.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "detector", "run", "--config", str(config or self.config)],
                cwd=self.folder,
                env=_environment(root),
                stdout=subprocess.DEVNULL,
                stderr=file,
            )
        self.members.append(Member(process, log))
        return self.members[-1]

    def close(self) -> None:
        """End every process that still runs."""
        for member in self.members:
            member.kill()

    def positions(self) -> dict[int, int]:
        """Next offset of each partition's saved state."""
        found = {}
        for path in self.state.glob("*.state") if self.state.exists() else ():
            try:
                header = _header(path)
                found[header["partition"]] = header["next_offset"]
            except (FileNotFoundError, ValueError):  # between two generations; damaged on purpose
                continue
        return found

    def progress(self) -> int:
        """Records of all partitions that the saved states cover."""
        return sum(self.positions().values())

    def reach(self, records: int, member: Member) -> None:
        """Wait until so many records are covered."""
        wait(lambda: self.progress() >= records, member.alive, f"record {records}")

    def catch_up(self, member: Member) -> None:
        """Wait until everything in the topic is saved."""
        ends = self.site.ends(self.topic)
        wait(lambda: self.positions() == ends, member.alive, f"offsets {ends}")

    def finish(self, member: Member) -> None:
        """Wait until everything in the topic is saved, then stop in order."""
        self.catch_up(member)
        member.stop()

    def undisturbed(self) -> None:
        """Run over the whole topic with nothing in the way."""
        member = self.start()
        try:
            self.finish(member)
        finally:
            self.close()

    def states(self) -> States:
        """What is saved of each partition, as a start would find it."""
        config = load_config(self.config)
        settings = settings_of(config, learn=config.detection.learn)
        profiles = load_profiles(config, None)
        store = StateStore(self.state, self.topic, VERSION)
        found: States = {}
        for path in self.state.glob("*.state"):
            header = _header(path)
            store.topic_id, partition = header["topic_id"], header["partition"]
            shard = store.load(
                partition, lambda state, pieces: restore(state, settings, profiles, pieces)
            ).state
            digest = canonical_digest(dump(shard)) if shard is not None else "none can be used"
            found[partition] = (header["next_offset"], digest)
        return found

    def self_alerts(self) -> set[str]:
        """Kinds of the detector's alerts about itself."""
        return {d["event"]["action"] for _, d in self._stored() if _is_about_us(d)}

    def alerts(self) -> list[tuple[str, dict[str, Any]]]:
        """Every alert about a client by id, those of one id as often as they are stored."""
        return [(name, document) for name, document in self._stored() if not _is_about_us(document)]

    def _stored(self) -> list[tuple[str, dict[str, Any]]]:
        found = []
        with Elasticsearch(self.site.elasticsearch.url) as client:
            if not client.indices.exists(index=self.stream):
                return []
            client.indices.refresh(index=self.stream)
            for hit in helpers.scan(client, index=self.stream):
                document = hit["_source"]
                del document["event"]["created"], document["event"]["ingested"]
                del document["data_stream"]["namespace"]
                found.append((hit["_id"], document))
        return sorted(found, key=lambda item: item[0])

    def roll_over(self) -> None:
        """Begin a new backing index, if there is a data stream yet."""
        with Elasticsearch(self.site.elasticsearch.url) as client:
            if client.indices.exists(index=self.stream):
                client.indices.rollover(alias=self.stream)


def _is_about_us(document: dict[str, Any]) -> bool:
    return bool(document["querywatch"]["entity"]["kind"] == ENTITY)


def _header(path: Path) -> dict[str, Any]:
    """Of a saved state. Raises ValueError for what has none."""
    with path.open("rb") as file:
        header: dict[str, Any] = json.loads(file.readline())
    return header
