"""A real Kafka broker (KRaft, one node) on 127.0.0.1."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from kafka import KafkaAdminClient

from tests.servers import cache, maven
from tests.servers.errors import ServerError
from tests.servers.java import find_jdk
from tests.servers.process import ServerProcess, free_port

VERSION = "4.1.0"
_JARS = (f"org.apache.kafka:kafka_2.13:{VERSION}", "org.slf4j:slf4j-simple:1.7.36")
_HEAP = ("-Xms256m", "-Xmx512m")
_QUICK = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")

# Internal topics have one replica, since there is one node, and few partitions, so that the first consumer
# group does not wait for fifty to be made.
_SETTINGS = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
controller.listener.names=CONTROLLER
listeners={listeners},CONTROLLER://127.0.0.1:{controller}
advertised.listeners={listeners}
log.dirs={data}
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=3
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=3
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
"""


def fetch() -> Path:
    """The cached folder of Kafka's jars, fetched on first use (about 50 MB)."""
    return cache.install(f"kafka-{VERSION}", lambda folder: maven.copy_jars(_JARS, folder))


class KafkaServer:
    """One broker with its own data folder; stopped and started again it keeps address and data."""

    def __init__(
        self,
        *,
        listeners: Mapping[str, int] | None = None,
        settings: str = "",
        format_options: Sequence[str] = (),
        quick: bool = True,
    ) -> None:
        """Lay the broker out, formatted but not started. Raises ServerError.

        `listeners` (name to port) come on top of PLAINTEXT, `settings` at the end of server.properties.
        A `quick` one is up in half the time; for measurements of speed its code is not compiled well enough.
        """
        port, controller = free_port(), free_port()
        self.bootstrap = f"127.0.0.1:{port}"
        """`host:port` for a client's bootstrap servers."""
        jdk = find_jdk(17)
        jars = fetch()
        self._folder = Path(tempfile.mkdtemp(prefix="querywatch-kafka-"))
        properties = self._folder / "server.properties"
        addresses = {"PLAINTEXT": port, **(listeners or {})}
        basic = _SETTINGS.format(
            listeners=",".join(f"{name}://127.0.0.1:{number}" for name, number in addresses.items()),
            controller=controller,
            data=self._folder / "data",
        )
        properties.write_text(basic + settings, encoding="utf-8")
        java = [
            str(jdk / "bin" / "java"),
            *_HEAP,
            *(_QUICK if quick else ()),
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
            "-Dorg.slf4j.simpleLogger.showDateTime=true",
            "-cp",
            f"{jars}/*",
        ]
        self._process = ServerProcess(
            f"Kafka {VERSION} at {self.bootstrap}",
            [*java, "kafka.Kafka", str(properties)],
            environment=os.environ,
            folder=self._folder,
            answers=self._answers,
            seconds=90,
        )
        try:
            _format(java, properties, format_options)
        except BaseException:
            self.close()
            raise

    def start(self) -> None:
        """Start, or start again after `stop` or `kill`, and wait until the broker answers."""
        self._process.start()

    def stop(self) -> None:
        """Shut down in order; data and address stay."""
        self._process.stop()

    def kill(self) -> None:
        """End as a crash would; data and address stay."""
        self._process.kill()

    def close(self) -> None:
        """Stop and remove all data."""
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def create_topic(
        self, topic: str, partitions: int = 1, settings: Mapping[str, str] | None = None
    ) -> None:
        """Create a topic and wait until every partition has a leader."""
        admin = KafkaAdminClient(bootstrap_servers=self.bootstrap)
        try:
            options = {"num_partitions": partitions, "replication_factor": 1, "configs": dict(settings or {})}
            admin.create_topics({topic: options}, wait_for_metadata=True)
        finally:
            admin.close()

    def delete_topic(self, topic: str) -> None:
        """Delete a topic; the broker frees its disk some time later."""
        admin = KafkaAdminClient(bootstrap_servers=self.bootstrap)
        try:
            admin.delete_topics([topic])
        finally:
            admin.close()

    def recreate_topic(self, topic: str, partitions: int = 1) -> None:
        """Delete a topic, and create another of the same name."""
        self.delete_topic(topic)
        admin = KafkaAdminClient(bootstrap_servers=self.bootstrap)
        try:
            deadline = time.monotonic() + 30.0
            while topic in admin.list_topics():
                if time.monotonic() > deadline:
                    raise ServerError(f"topic {topic} is not gone after 30 s")
                time.sleep(0.05)
        finally:
            admin.close()
        self.create_topic(topic, partitions)

    def _answers(self) -> bool:
        host, port = self.bootstrap.split(":")
        try:
            # kafka-python leaves the socket of each refused connection open, so it is asked only after this.
            socket.create_connection((host, int(port)), timeout=5).close()
        except OSError:
            return False
        admin = KafkaAdminClient(bootstrap_servers=self.bootstrap)
        try:
            return bool(admin.describe_cluster()["brokers"])
        finally:
            admin.close()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _format(java: list[str], properties: Path, options: Sequence[str]) -> None:
    cluster = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    done = subprocess.run(
        # A leading dash would be taken for an option.
        [
            *java,
            "kafka.tools.StorageTool",
            "format",
            f"--cluster-id={cluster}",
            "-c",
            str(properties),
            *options,
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if done.returncode != 0:
        raise ServerError(f"Kafka's storage could not be formatted:\n{done.stdout}{done.stderr}")
