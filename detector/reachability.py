"""`querywatch check`: can everything that the configuration names be used, and if not, what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from detector import edge
from detector.config import Config
from detector.destinations import places, service_outputs
from detector.errors import QuerywatchError
from detector.state_store import StateStore


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at; `said` is what was found, or what to do."""

    what: str
    ok: bool
    said: str

    def line(self) -> str:
        """For a person."""
        return f"{'ok    ' if self.ok else 'FAILED'}  {self.what}: {self.said}"


def checks(path: Path | None) -> Iterator[Check]:
    """Look at everything, one after the other. Never prints a secret."""
    try:
        config = edge.load_config(path)
    except QuerywatchError as error:
        yield Check("configuration", False, str(error))
        return
    yield Check("configuration", True, f"{path} is valid" if path else "defaults, no file is given")
    looks: list[tuple[str, Callable[[Config], str]]] = [
        ("profile", _profile),
        ("state directory", _state_directory),
        ("sinks", _sinks),
        ("Kafka", _kafka),
    ]
    if config.kafka.dead_letter_topic:
        looks.append(("dead-letter topic", _dead_letter_topic))
    looks.append(("Elasticsearch", _elasticsearch))
    if config.webhook.url:
        looks.append(("webhook", _webhook))
    if "sqlite" in places(config) or not config.kafka.dead_letter_topic:
        looks.append(("database", _database))
    for what, look in looks:
        try:
            yield Check(what, True, look(config))
        except QuerywatchError as error:
            yield Check(what, False, str(error))
        except OSError as error:
            yield Check(what, False, f"{error.filename}: {error.strerror}")


def _profile(config: Config) -> str:
    budget = config.detection.false_alert_budget
    if not config.detection.profile:
        if not config.detection.learn:
            return "none, and learning is off: no alerts; make one with `querywatch fit`"
        begin = "alerts begin after about 100 longer sessions of a model, or with `querywatch fit`"
        if config.detection.prior:
            from detector import prior
            from detector.input_sample import SAMPLE_QUERIES

            judge = prior.shipped().profile
            shown = f"it can show {judge.tail.supported_budget():.3g} false alerts per 10,000 sessions"
            begin = (
                f"until a model has one, {judge.version} (what is known of other models) judges from its "
                f"{SAMPLE_QUERIES:,}th query on; {shown}, the budget is {budget:g}; "
                "`querywatch fit` knows more"
            )
        return f"learned from the traffic itself; {begin}"
    said = []
    for name, profile in sorted(edge.load_profiles(config, None).items()):
        supported = profile.tail.supported_budget()
        enough = "" if supported <= budget else ", fewer are extrapolated"
        said.append(
            f"{name} {profile.version}, {profile.tail.sessions:,} sessions, can show {supported:.3g} false "
            f"alerts per 10,000 sessions{enough}"
        )
    return "; ".join(said) + f"; the budget is {budget:g}"


def _state_directory(config: Config) -> str:
    directory = Path(config.state.directory)
    StateStore(directory, config.kafka.topic, "").open()
    return f"{directory} can be written"


def _sinks(config: Config) -> str:
    outputs = service_outputs(config)
    return f"alerts go to {outputs.names()}, dead letters to {outputs.dead_letter_names()}"


def _kafka(config: Config) -> str:
    from connectors.kafka import check
    from connectors.kafka_source import source_class
    from connectors.kafka_start import start_time

    start_time(config.kafka.start)
    source_class(config.kafka)
    return check(config.kafka)


def _dead_letter_topic(config: Config) -> str:
    from connectors.kafka_dead_letters import KafkaDeadLetterSink

    sink = KafkaDeadLetterSink(config.kafka)
    sink.open()
    sink.close()
    return f"{config.kafka.dead_letter_topic} can be written"


def _elasticsearch(config: Config) -> str:
    if not config.elasticsearch.hosts:
        return "not used; name elasticsearch.hosts to use it"
    from connectors.elasticsearch import check

    return check(config.elasticsearch)


def _webhook(config: Config) -> str:
    from connectors.webhook import check

    return check(config.webhook)


def _database(config: Config) -> str:
    from connectors.sqlite import SqliteSink

    sink = SqliteSink(config.sqlite.path)
    sink.open()
    sink.close()
    return f"{config.sqlite.path} can be written"
