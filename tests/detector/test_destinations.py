"""Which places a configuration names, and which must have every alert."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from connectors.file_sinks import NdjsonDeadLetterSink
from detector.alert import Alert
from detector.config import parse
from detector.destinations import places, service_outputs
from detector.errors import ConfigError
from detector.query import DeadLetter
from tests.connectors.webhook_receiver import Answer, Receiver
from tests.detector.conftest import Querywatch, querywatch

__all__ = ["querywatch"]
HOOK = '[webhook]\nurl = "http://127.0.0.1:1/hook"\n'
CLUSTER = '[elasticsearch]\nhosts = ["http://127.0.0.1:1"]\n'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ("sqlite",)),
        (CLUSTER, ("elasticsearch",)),
        (HOOK, ("sqlite", "webhook")),
        (CLUSTER + HOOK, ("elasticsearch", "webhook")),
        (HOOK + '[sinks]\nalerts = ["webhook", "sqlite", "webhook"]\n', ("webhook", "sqlite")),
        (CLUSTER + HOOK + '[sinks]\nalerts = ["elasticsearch"]\n', ("elasticsearch",)),
    ],
)
def test_alerts_go_where_the_configuration_says(text: str, expected: tuple[str, ...]) -> None:
    config = parse(text, {})
    assert places(config) == expected
    outputs = service_outputs(config)
    assert [sink.name.partition(" ")[0] for sink in outputs.alerts] == list(expected)
    assert outputs.optional == ()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('[sinks]\nalerts = ["webhook"]\n', "webhook.url: is empty"),
        ('[sinks]\nalerts = ["elasticsearch"]\n', "elasticsearch.hosts: is empty"),
        ('[sinks]\noptional = ["webhook"]\n', "sinks.optional: names webhook, where no alerts go"),
        (
            HOOK + '[sinks]\nalerts = ["webhook"]\noptional = ["webhook"]\n',
            "sinks.optional: leaves no place that must have every alert",
        ),
    ],
)
def test_a_choice_of_places_that_cannot_be_is_refused(text: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(problem)):
        service_outputs(parse(text, {}))


def test_an_optional_place_is_told_to_the_dispatcher() -> None:
    assert service_outputs(parse(HOOK + '[sinks]\noptional = ["webhook"]\n', {})).optional == ("webhook",)


def test_check_tells_of_the_webhook_and_no_secret(querywatch: Querywatch, tmp_path: Path) -> None:
    with Receiver() as receiver:
        config = tmp_path / "q.toml"
        config.write_text(f'[webhook]\nurl = "{receiver.url}"\ntoken = "marked-token"\n')
        done = querywatch("check", "--config", config)
        assert f"ok      webhook: http://127.0.0.1:{receiver.port} answers (204 to OPTIONS)" in done.output
        assert "ok      database" in done.output
        receiver.greeting = Answer(401, b"marked-token who")
        done = querywatch("check", "--config", config)
    assert "FAILED  webhook: webhook: http" in done.output
    assert "check webhook.token" in done.output
    assert "marked" not in done.output


def test_dead_letters_of_the_webhook_are_sent_again(querywatch: Querywatch, tmp_path: Path) -> None:
    document = {"event": {"kind": "alert"}, "querywatch": {"entity": {"id": "x"}}}
    alerts = [Alert(f"{n:040x}", document, n) for n in range(3)]
    file = NdjsonDeadLetterSink("dead.ndjson")
    file.write_dead_letters([DeadLetter("sink_down", "", a.to_json(), "webhook", -1, 0) for a in alerts])
    file.close()
    with Receiver() as receiver:
        config = tmp_path / "q.toml"
        config.write_text(f'[webhook]\nurl = "{receiver.url}"\n')
        receiver.script = [Answer(), Answer(422, b"no")]
        done = querywatch("resend", "dead.ndjson", "--config", config)
        assert done.exit_code == 1
        assert "2 alerts stored, 0 were stored already" in done.output
        assert "1 refused again" in done.output
        done = querywatch("resend", "dead.ndjson", "--config", config)
        assert done.exit_code == 0
        assert "3 alerts stored" in done.output
    assert [(found.id, found.document) for found in receiver.alerts] == [
        (alerts[n].id, document) for n in (0, 2, 1)
    ]
