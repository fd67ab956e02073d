"""`querywatch run`: the parts of the service put together, its signals, its first log lines."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path

import structlog

from connectors.kafka_connection import partitions_of
from connectors.kafka_source import make_source
from detector import shard_state, workers
from detector.config import Config
from detector.destinations import service_outputs
from detector.edge import make_decoder
from detector.health import served
from detector.interrupt import RELOAD_SIGNAL, on_signals
from detector.pipeline import warm_up
from detector.profile import ModelProfile
from detector.reload import Reloader
from detector.service import Service
from detector.settings import Settings
from detector.state_store import StateStore
from detector.stopping import stopped_by_signals

log = structlog.get_logger(__name__)


def run(
    config: Config,
    settings: Settings,
    profiles: Mapping[str, ModelProfile],
    *,
    read: Callable[[], Config],
    until_end: bool = False,
    worker: int = 0,
) -> None:
    """Run the service until a signal, or until the end of the topic. Raises what a person must mend.

    At SIGHUP it goes on with the configuration that `read` gives.
    `worker` is the number of this process among several that `detector.workers` started, from 1.
    """
    if worker:
        workers.stop_without_parent()
    # First of all: a topic that cannot be reached is told in one line, before anything is opened.
    partitions_of(config.kafka)
    warm_up(profiles)
    directory = Path(config.state.directory)
    store = StateStore(directory, config.kafka.topic, shard_state.VERSION)
    store.open()
    outputs = service_outputs(config)
    service = Service(config, settings, profiles, make_decoder(config), outputs, store)
    reloader = Reloader(service, config, read)
    service.on_turn = reloader.turn
    source = make_source(
        config.kafka,
        on_assigned=service.assigned,
        on_revoked=service.revoked,
        future_seconds=config.limits.future_seconds,
        max_record_bytes=config.limits.record_bytes,
        instance_id=workers.instance_id(config, worker) if worker else "",
    )
    with (
        stopped_by_signals(service.stop),
        on_signals(lambda number: reloader.asked.set(), (RELOAD_SIGNAL,)),
        served(service.monitor, config.health.address, workers.port(config.health.port, worker)),
        closing(service),
    ):
        if not service.open():
            return
        log.info(
            "starting",
            topic=config.kafka.topic,
            group=config.kafka.group_id,
            profiles={name: profile.version for name, profile in sorted(profiles.items())},
            learn=settings.learn,
            budget=settings.budget,
            alerts=outputs.names(),
            dead_letters=outputs.dead_letter_names(),
            state=str(store.directory),
        )
        source.open()
        try:
            service.run(source, until_end=until_end)
        finally:
            source.close()
        account = service.account
        log.info(
            "stopped",
            queries=account.queries,
            alerts=account.alerts,
            dead_letters=account.dead_letters,
            repeated=account.repeated,
        )
