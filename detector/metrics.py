"""What the service counts and measures, under Prometheus's naming rules (docs/operations.md, Metrics)."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

from detector import __version__
from detector.alert import Alert
from detector.policy import KIND_NAMES
from detector.query import REASONS, DeadLetter
from detector.router import Outcome
from detector.technique import ALL
from detector.watchdog import KINDS, Snapshot

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
STAGES = ("decode", "process", "deliver", "save")
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_SEVERITIES = {21: "low", 47: "medium", 73: "high", 99: "critical"}


class Metrics:
    """One service's metrics, in a registry of their own. Methods may be called from any thread.

    Label values are names from our own lists and from the configuration, never from records, so strangers
    cannot make the number of series grow.
    """

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)

        def counter(name: str, about: str, *labels: str) -> Counter:
            return Counter(f"querywatch_{name}", about, labels, registry=registry)

        def gauge(name: str, about: str, *labels: str) -> Gauge:
            return Gauge(f"querywatch_{name}", about, labels, registry=registry)

        Info("querywatch_build", "The version that runs.", registry=registry).info({"version": __version__})
        self.queries = counter("queries", "Queries counted and scored.")
        self.records = counter("records", "Records that could be decoded.")
        self.repeated = counter("repeated_records", "Records delivered before, and passed over.")
        self.alerts = counter("alerts", "Alerts raised.", "technique", "severity")
        self.updates = counter("alert_updates", "Later messages about alerts raised before.")
        self.grouped = counter("alerts_grouped", "Alerts on one client that were told together with others.")
        self.suppressed = counter(
            "suppressed",
            "Evaluation points above the threshold that gave no message: told before, or a declared client.",
        )
        self.dead_letters = counter("dead_letters", "Records and alerts kept as dead letters.", "reason")
        self.evicted = counter(
            "evicted",
            "Sessions and clients forgotten for want of memory.",
            "entity",
            "suspicious",
        )
        self.sink_errors = counter("sink_errors", "Failed attempts to open or write a sink.", "sink")
        self.source_errors = counter("source_errors", "Failed attempts to read.")
        self.save_errors = counter("save_errors", "Failed attempts to save state or to commit.")
        self.reloads = counter("config_reloads", "Reloads of the configuration.", "outcome")
        self.stage = Histogram(
            "querywatch_stage_seconds",
            "Time of one batch in a stage; deliver: of one write; save: of one partition.",
            ["stage"],
            registry=registry,
            buckets=_SECONDS,
        )
        self.partitions = gauge("partitions", "Partitions that this process reads.")
        self.lag = gauge("lag_records", "Records yet to be read.", "partition")
        self.silent = gauge("silent_seconds", "Time since a record came, or since the start.")
        self.sessions = gauge("live_sessions", "Sessions whose state is kept.")
        self.episodes = gauge("open_episodes", "Sessions that have alerted and have not calmed down.")
        self.sink_up = gauge("sink_up", "1 while the sink takes what it is given.", "sink")
        self.waiting = gauge("undelivered", "Alerts and dead letters that wait for a sink.", "sink")
        self.oldest = gauge("oldest_undelivered_seconds", "How long the oldest of them has waited.", "sink")
        self.state_bytes = gauge("state_bytes", "Size of the last saved state.", "partition")
        self.saved_at = gauge("last_save_timestamp_seconds", "When state was last saved; 0: not yet.")
        self.held = gauge("profiles_held", "Models whose profile stays: traffic shifts towards attacks.")
        self.ready = gauge("ready", "1 when /ready says so.")
        self.self_alert = gauge("self_alert", "1 while the detector alerts on itself.", "kind")
        self._shown: set[int] = set()
        for reason in REASONS:
            self.dead_letters.labels(reason)
        for technique in ALL:
            for severity in _SEVERITIES.values():
                self.alerts.labels(technique.key, severity)
        for kind in KIND_NAMES:
            self.evict(kind, 0, 0)
        for outcome in ("applied", "refused"):
            self.reloads.labels(outcome)
        for stage in STAGES:
            self.stage.labels(stage)
        for kind in KINDS:
            self.self_alert.labels(kind)

    def text(self) -> bytes:
        """Everything in Prometheus's text format."""
        return generate_latest(self.registry)

    def processed(self, records: int, outcome: Outcome, alerts: Iterable[Alert]) -> None:
        """Count what came of a batch, and of its alerts those that are told; not its dead letters."""
        self.records.inc(records)
        self.queries.inc(outcome.queries)
        self.repeated.inc(outcome.repeated)
        for alert in alerts:
            self._count(alert)

    def _count(self, alert: Alert) -> None:
        event = alert.document["event"]
        if event["kind"] == "alert":
            technique = alert.document["querywatch"]["technique"]["name"]
            self.alerts.labels(technique, _SEVERITIES.get(event["severity"], "low")).inc()
        else:
            self.updates.inc()

    def refused(self, letters: Iterable[DeadLetter]) -> None:
        """Count dead letters."""
        for letter in letters:
            self.dead_letters.labels(letter.reason).inc()

    def evict(self, kind: str, gone: int, suspicious: int) -> None:
        """Count entities of a kind that were evicted, and the suspicious ones among them."""
        self.evicted.labels(kind, "no").inc(gone - suspicious)
        self.evicted.labels(kind, "yes").inc(suspicious)

    def forget(self, partition: int) -> None:
        """A partition went to another member."""
        self.state_bytes.labels(str(partition))
        self.state_bytes.remove(str(partition))

    def took(self, stage: str, seconds: float) -> None:
        """Time of one piece of work in a stage."""
        self.stage.labels(stage).observe(seconds)

    def wrote(self, sink: str, seconds: float) -> None:
        """A sink took what it was given."""
        self.took("deliver", seconds)

    def failed(self, sink: str) -> None:
        """A sink did not."""
        self.sink_errors.labels(sink).inc()

    def show(self, seen: Snapshot) -> None:
        """Set the gauges to what the service sees of itself."""
        self.partitions.set(len(seen.partitions))
        self.silent.set(seen.silent_seconds)
        self.sessions.set(seen.sessions)
        self.episodes.set(seen.open_episodes)
        self.held.set(len(seen.held))
        for partition in self._shown - set(seen.lag):
            self.lag.remove(str(partition))
        for partition, lag in seen.lag.items():
            self.lag.labels(str(partition)).set(lag)
        self._shown = set(seen.lag)
        for sink in seen.sinks:
            self.sink_errors.labels(sink.name)
            self.sink_up.labels(sink.name).set(float(sink.down_seconds == 0.0))
            self.waiting.labels(sink.name).set(sink.waiting)
            self.oldest.labels(sink.name).set(sink.oldest_seconds)

    def watch(self, kinds: Iterable[str]) -> None:
        """Show which self-alerts are open."""
        open_now = set(kinds)
        for kind in KINDS:
            self.self_alert.labels(kind).set(float(kind in open_now))
