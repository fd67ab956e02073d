"""A changed configuration file taken up by the running service: as a whole, or not at all with a message."""

from __future__ import annotations

import threading
from collections.abc import Callable

import msgspec
import structlog

from connectors.base import AlertSink
from detector.config import Config
from detector.destinations import places, remote_sink
from detector.errors import ConfigError, QuerywatchError, SinkUnavailable
from detector.service import Service

LIVE = {
    "detection.false_alert_budget",
    "pipeline.batch_queries",
    "elasticsearch.hosts",
    "elasticsearch.api_key",
    "elasticsearch.username",
    "elasticsearch.password",
    "elasticsearch.ca_file",
    "elasticsearch.certificate_file",
    "elasticsearch.key_file",
    "elasticsearch.key_password",
    "elasticsearch.timeout_seconds",
    "webhook.url",
    "webhook.format",
    "webhook.batch_alerts",
    "webhook.token",
    "webhook.header",
    "webhook.scheme",
    "webhook.username",
    "webhook.password",
    "webhook.signing_key",
    "webhook.ca_file",
    "webhook.certificate_file",
    "webhook.key_file",
    "webhook.key_password",
    "webhook.timeout_seconds",
    "sinks.queue_alerts",
    "sinks.hold_back_seconds",
    "health.stuck_seconds",
    "health.no_input_seconds",
    "health.behind_records",
    "health.behind_seconds",
    "health.evicted_share",
    "health.eviction_seconds",
    "health.flood_alerts",
    "health.flood_seconds",
    "health.sink_down_seconds",
    "health.unsaved_seconds",
    "state.save_seconds",
}
"""Keys that may change while the service runs. Every other one is built into something that stands."""

REMOTE = {"elasticsearch", "webhook"}
"""Places whose settings may change."""

log = structlog.get_logger(__name__)


def changes(old: Config, new: Config) -> list[str]:
    """Keys that differ, as `section.key`."""
    return [
        f"{section}.{key}"
        for section in old.__struct_fields__
        for key in getattr(old, section).__struct_fields__
        if getattr(getattr(old, section), key) != getattr(getattr(new, section), key)
    ]


def require_live(old: Config, new: Config) -> list[str]:
    """The keys that differ. Raises ConfigError naming those that cannot change while the service runs."""
    changed = changes(old, new)
    fixed = [key for key in changed if key not in LIVE]
    for key, was, is_now in (
        ("elasticsearch.hosts", old.elasticsearch.hosts, new.elasticsearch.hosts),
        ("webhook.url", old.webhook.url, new.webhook.url),
    ):
        if bool(was) != bool(is_now):
            fixed.append(key)
    if fixed:
        raise ConfigError(fixed[0], f"cannot change while the service runs ({', '.join(fixed)}); restart it")
    return changed


class Reloader:
    """Takes up what `read` gives when `asked` is set, which a signal handler may do.

    `read` raises QuerywatchError for a configuration that is wrong; then, and when a changed key needs a
    restart or the cluster refuses the new credentials, everything stays as it is.
    """

    def __init__(self, service: Service, config: Config, read: Callable[[], Config]) -> None:
        self.asked = threading.Event()
        self._service = service
        self._config = config
        self._read = read

    def turn(self) -> None:
        """Reload if asked to; for the service's thread."""
        if not self.asked.is_set():
            return
        self.asked.clear()
        reloads = self._service.monitor.metrics.reloads
        try:
            new = self._read()
            changed = require_live(self._config, new)
            self._service.use(new, self._new_sinks(new, changed))
        except QuerywatchError as error:
            reloads.labels("refused").inc()
            log.error("the configuration is not reloaded, the one before stands", problem=str(error))
            return
        self._config = new
        reloads.labels("applied").inc()
        log.info("the configuration is reloaded", changed=changed)

    def _new_sinks(self, new: Config, changed: list[str]) -> list[AlertSink]:
        """Sinks for changed settings of places, each tried once. Raises SinkNotReady, ConfigError."""
        sinks = []
        for name in places(new):
            if name not in REMOTE or not any(key.startswith(f"{name}.") for key in changed):
                continue
            trial = remote_sink(new, name)
            try:
                trial.open()
            except SinkUnavailable as error:
                # Down is no reason to refuse: the credentials may be right, and are tried until it is up.
                log.warning("the new settings of a sink could not be tried", sink=name, problem=str(error))
            finally:
                trial.close()
            sinks.append(remote_sink(new, name))
        return sinks


def with_budget(config: Config, budget: float | None) -> Config:
    """The configuration with the budget that was given on the command line, which wins."""
    if budget is None:
        return config
    detection = msgspec.structs.replace(config.detection, false_alert_budget=budget)
    return msgspec.structs.replace(config, detection=detection)
