"""A service over a topic in memory: what stays when the process ends, and what does not."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from connectors.base import AlertSink, Delivery
from connectors.kafka_start import Start
from connectors.memory import MemoryAlertSink, MemoryDeadLetterSink
from detector import profile as profile_files
from detector import shard_state
from detector.alert import Alert
from detector.config import Config, State
from detector.edge import make_decoder, settings_of
from detector.outputs import Outputs
from detector.pipeline import Shard
from detector.query import RawBatch
from detector.service import Service
from detector.state_store import StateStore
from tests import traffic

LATEST = traffic.START + 1e6


class MemoryTopic:
    """A topic of partitions in memory, and what a consumer group keeps of it."""

    def __init__(self, *partitions: list[bytes]) -> None:
        self.partitions = partitions
        self.commits: dict[int, int] = {}

    def ends(self) -> dict[int, int]:
        return {partition: len(values) for partition, values in enumerate(self.partitions)}


class MemoryMember:
    """The one member of the group, with the behaviour that `PartitionSource` asks for."""

    def __init__(self, topic: MemoryTopic, service: Service) -> None:
        self.topic = topic
        self.service = service
        self.topic_id = "id"
        self.paused = False
        self.polls_while_paused = 0
        self.stop_at_commit = False
        self.positions: dict[int, int] | None = None
        self.starts: dict[int, Start] = {}
        self.first_held: dict[int, int] = {}
        self.on_poll: Callable[[], None] = lambda: None
        self.on_commit: Callable[[Mapping[int, int]], None] = lambda offsets: None

    def poll(self, timeout_seconds: float, max_records: int) -> list[RawBatch]:
        self.on_poll()
        if self.positions is None:
            found = self.service.assigned(list(range(len(self.topic.partitions))))
            self.positions = {partition: offset or 0 for partition, offset in found.items()}
            self.starts = {partition: Start(at, "test") for partition, at in self.positions.items()}
        if self.paused:
            self.polls_while_paused += 1
            return []
        batches = []
        for partition, position in self.positions.items():
            values = self.topic.partitions[partition][position : position + max_records]
            if values:
                offsets = list(range(position, position + len(values)))
                batches.append(RawBatch("topic", partition, values, offsets, LATEST))
                self.positions[partition] += len(values)
        return batches

    def committed(self, partitions: Collection[int]) -> dict[int, int | None]:
        return {p: self.topic.commits.get(p) for p in partitions}

    def commit(self, offsets: Mapping[int, int]) -> bool:
        self.on_commit(offsets)
        if self.stop_at_commit:
            self.service.stop.set()
        self.topic.commits.update(offsets)
        return True

    def offset_at(self, partition: int, seconds: float) -> int:
        values = self.topic.partitions[partition]
        times = [json.loads(value)["timestamp"] if value.startswith(b"{") else 0.0 for value in values]
        return next((n for n, time in enumerate(times) if time >= seconds), len(values))

    def held(self, partition: int) -> tuple[int, int]:
        return self.first_held.get(partition, 0), len(self.topic.partitions[partition])

    def lag(self) -> dict[int, int]:
        positions = self.positions or {}
        return {p: len(self.topic.partitions[p]) - at for p, at in positions.items()}

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False


class FailingSink(MemoryAlertSink):
    """Fails with the given errors in turn, until something has happened."""

    def __init__(self, errors: Sequence[Exception]) -> None:
        super().__init__()
        self.errors = itertools.cycle(errors)
        self.until: Callable[[], bool] = lambda: True

    def write(self, alerts: Sequence[Alert]) -> Delivery:
        if not self.until():
            raise next(self.errors)
        return super().write(alerts)


class World:
    """What stays when the process ends: topic, sinks, state directory."""

    def __init__(self, folder: Path, profile: Path, topic: MemoryTopic) -> None:
        self.folder = folder
        self.topic = topic
        self.letters = MemoryDeadLetterSink()
        self.profiles = profile_files.load(profile)
        self.config = Config(state=State(save_seconds=1e-9))

    def store(self) -> StateStore:
        store = StateStore(self.folder / "state", "topic", shard_state.VERSION)
        store.topic_id = "id"
        return store

    def service(self, sink: AlertSink) -> Service:
        store = self.store()
        store.open()
        settings = settings_of(self.config, learn=False)
        outputs = Outputs([sink], [self.letters])
        return Service(self.config, settings, self.profiles, make_decoder(self.config), outputs, store)

    def run(self, sink: AlertSink) -> MemoryMember:
        service = self.service(sink)
        member = MemoryMember(self.topic, service)
        service.run(member, until_end=True)
        return member

    def expected(self) -> list[Alert]:
        """What one shard a partition gives, without any service."""
        alerts = []
        for partition, values in enumerate(self.topic.partitions):
            shard = Shard(settings_of(self.config, learn=False), self.profiles, "topic", partition)
            batch = RawBatch("topic", partition, values, list(range(len(values))), LATEST)
            records, _ = make_decoder(self.config).decode(batch)
            alerts += shard.process(records).alerts
        return alerts


def by_id(alerts: Sequence[Alert]) -> dict[str, bytes]:
    """Alerts about clients; those of the detector about itself depend on the clock."""
    return {
        alert.id: alert.to_json()
        for alert in alerts
        if alert.document["querywatch"]["entity"]["kind"] != "detector"
    }


def wait_until(done: Callable[[], bool]) -> None:
    """Wait for what another thread does, for some seconds at most."""
    deadline = time.monotonic() + 10.0
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.002)
