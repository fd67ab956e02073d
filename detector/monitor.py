"""What the service shows of itself: the answers to /health, /ready and /metrics, and self-alerts.

The loop hands in a snapshot now and then; the HTTP threads read the newest one.
"""

from __future__ import annotations

import time
from typing import Any

import structlog

from detector.alert import Alert
from detector.config import Config
from detector.episodes import SelfAlertEpisodes
from detector.metrics import Metrics
from detector.readiness import Need, needs
from detector.self_alert import Deployment, self_alert
from detector.watchdog import Notice, Snapshot, Watchdog

log = structlog.get_logger(__name__)


class Monitor:
    """Metrics, the watchdog and the newest snapshot of one service."""

    def __init__(self, config: Config, host: str, episodes: SelfAlertEpisodes) -> None:
        self.metrics = Metrics()
        self.watchdog = Watchdog(config.health)
        kafka = config.kafka
        self._deployment = Deployment(config.detection.tenant, kafka.topic, kafka.group_id, host)
        self._episodes = episodes
        self._seen: Snapshot | None = None
        self._turned = time.monotonic()

    def turned(self) -> None:
        """The loop is alive."""
        self._turned = time.monotonic()

    def observe(self, seen: Snapshot) -> list[Alert]:
        """Take a new snapshot; the self-alerts that follow from it.

        With the first come those that the process before may not have delivered.
        """
        undelivered: list[Notice] = []
        if self._seen is None:
            still_open, undelivered = self._episodes.load()
            self.watchdog.inherit(still_open, seen.now)
        self._seen = seen
        notices = self.watchdog.observe(seen)
        self._episodes.note(notices, self.watchdog.episodes)
        for notice in notices:
            say = log.warning if notice.ended is None else log.info
            say(
                "self-alert" if notice.ended is None else "self-alert is over",
                condition=notice.condition.kind,
                part=notice.condition.part,
                said=notice.condition.said,
            )
        self.metrics.show(seen)
        self.metrics.watch(episode.condition.kind for episode in self.watchdog.episodes)
        self.metrics.ready.set(float(all(need.ok for need in needs(seen))))
        return [self_alert(notice, self._deployment) for notice in [*undelivered, *notices]]

    def delivered(self) -> None:
        """Every sink has all self-alerts so far."""
        self._episodes.delivered()

    def close(self) -> None:
        """Let the next process know which episodes are open."""
        self._episodes.close()

    def health(self) -> tuple[bool, dict[str, Any]]:
        """Whether the loop turns, as JSON."""
        since = time.monotonic() - self._turned
        limit = self.watchdog.thresholds.stuck_seconds
        alive = since <= limit
        said = "the loop turns" if alive else f"no turn of the loop for more than {limit:g} s; restart it"
        return alive, {"alive": alive, "seconds_since_last_turn": round(since, 3), "said": said}

    def ready(self) -> tuple[bool, dict[str, Any]]:
        """Whether it does all of its work, and what is missing, as JSON."""
        alive, loop = self.health()
        found = [Need("loop", alive, loop["said"]), *needs(self._seen)]
        ready = all(need.ok for need in found)
        return ready, {"ready": ready, "needs": [need._asdict() for need in found]}

    def text(self) -> bytes:
        """The metrics in Prometheus's text format."""
        return self.metrics.text()
