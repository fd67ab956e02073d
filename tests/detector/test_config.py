"""The configuration: defaults that work, errors that name the key, secrets from the environment."""

from __future__ import annotations

import io
from pathlib import Path
from pprint import pformat

import msgspec
import pytest
from rich.console import Console

from detector.config import Config, load, parse
from detector.errors import ConfigError

DEFAULTS = {
    "detection": {
        "false_alert_budget": 1.0,
        "profile": "",
        "learn": True,
        "prior": True,
        "tenant": "default",
        "declared_clients": (),
    },
    "sessions": {"gap_minutes": 30.0, "memory_mb": 1024},
    "limits": {
        "record_bytes": 4_194_304,
        "nesting": 16,
        "input_length": 262_144,
        "future_seconds": 86_400.0,
    },
    "pipeline": {"batch_queries": 4096},
    "kafka": {
        "bootstrap_servers": ("localhost:9092",),
        "topic": "model-queries",
        "group_id": "querywatch",
        "start": "earliest",
        "client": "kafka-python",
        "rebalance": "cooperative",
        "dead_letter_topic": "",
        "security_protocol": "PLAINTEXT",
        "ca_file": "",
        "certificate_file": "",
        "key_file": "",
        "key_password": "",
        "sasl_mechanism": "",
        "username": "",
        "password": "",
        "oauth_token_file": "",
    },
    "elasticsearch": {
        "hosts": (),
        "namespace": "default",
        "api_key": "",
        "username": "",
        "password": "",
        "ca_file": "",
        "certificate_file": "",
        "key_file": "",
        "key_password": "",
        "timeout_seconds": 30.0,
    },
    "sqlite": {"path": "querywatch.sqlite"},
    "webhook": {
        "url": "",
        "format": "json",
        "batch_alerts": 100,
        "token": "",
        "header": "Authorization",
        "scheme": "Bearer",
        "username": "",
        "password": "",
        "signing_key": "",
        "ca_file": "",
        "certificate_file": "",
        "key_file": "",
        "key_password": "",
        "timeout_seconds": 10.0,
    },
    "sinks": {"alerts": (), "optional": (), "queue_alerts": 10_000, "hold_back_seconds": 3600.0},
    "health": {
        "address": "127.0.0.1",
        "port": 9464,
        "stuck_seconds": 60.0,
        "no_input_seconds": 3600.0,
        "behind_records": 100_000,
        "behind_seconds": 300.0,
        "evicted_share": 0.5,
        "eviction_seconds": 600.0,
        "flood_alerts": 100,
        "flood_seconds": 600.0,
        "sink_down_seconds": 60.0,
        "unsaved_seconds": 60.0,
    },
    "state": {"directory": "querywatch-state", "save_seconds": 30.0},
    "privacy": {"client_id_key": "", "hashed": ("client_id", "session_id")},
}


def test_defaults() -> None:
    assert msgspec.to_builtins(parse("", {})) == DEFAULTS
    assert parse("", {}) == Config()


def test_values_are_read() -> None:
    config = parse('[detection]\nfalse_alert_budget = 5\n[kafka]\nbootstrap_servers = ["a:1", "b:2"]\n', {})
    assert config.detection.false_alert_budget == 5.0
    assert config.kafka.bootstrap_servers == ("a:1", "b:2")
    assert config.sessions == Config().sessions


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("[detektion]\n", "detektion"),
        ("[detection]\nbudget = 1\n", "detection.budget"),
        ("[kafka]\nbootstrap_server = []\n", "kafka.bootstrap_server"),
    ],
)
def test_an_unknown_key_is_named(text: str, path: str) -> None:
    with pytest.raises(ConfigError, match="unknown key; `querywatch init` prints") as caught:
        parse(text, {})
    assert caught.value.path == path
    assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[sinks]\nalerts = ["elastic"]', "sinks.alerts[0]: Invalid enum value 'elastic'; choose among "
         "'elasticsearch', 'sqlite', 'webhook'"),
        ('[kafka]\nclient = "other"', "kafka.client: Invalid enum value 'other'; choose among "
         "'kafka-python', 'confluent'"),
        ('[kafka]\ntopic = 5', "kafka.topic: Expected text in quotes, got a whole number"),
        ('[elasticsearch]\nhosts = "https://x"', "elasticsearch.hosts: Expected a list, got text in quotes"),
        ("kafka = 3", "kafka: Expected a section, got a whole number"),
        ("[detection]\nfalse_alert_budget = 0", "detection.false_alert_budget: Expected a number > 0.0"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_in_words_of_the_file(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text, {})
    assert str(caught.value) == said


@pytest.mark.parametrize(
    ("section", "line"),
    [
        ("detection", "false_alert_budget = 0"),
        ("detection", "false_alert_budget = 100.5"),
        ("detection", 'learn = "yes"'),
        ("detection", "profile = 3"),
        ("sessions", "gap_minutes = 0"),
        ("sessions", "memory_mb = 15"),
        ("sessions", "memory_mb = 16.5"),
        ("limits", "record_bytes = 0"),
        ("limits", "nesting = 0"),
        ("limits", "input_length = -1"),
        ("limits", "future_seconds = -0.1"),
        ("pipeline", "batch_queries = 0"),
        ("kafka", 'client = "other"'),
        ("kafka", 'security_protocol = "TLS"'),
        ("kafka", 'sasl_mechanism = "GSSAPI"'),
        ("kafka", 'bootstrap_servers = "localhost:9092"'),
        ("elasticsearch", 'namespace = "With-Dash"'),
        ("elasticsearch", "timeout_seconds = 0"),
        ("webhook", 'format = "xml"'),
        ("webhook", "batch_alerts = 0"),
        ("webhook", 'signing_key = "whsec_dG9vIHNob3J0"'),
        ("webhook", 'signing_key = "' + "x" * 40 + '"'),
        ("sinks", 'optional = "webhook"'),
        ("state", "save_seconds = 0"),
        ("privacy", 'client_id_key = "too-short"'),
        ("sinks", 'alerts = "sqlite"'),
        ("sinks", "queue_alerts = 0"),
        ("health", "port = 65536"),
        ("health", "stuck_seconds = 0"),
    ],
)
def test_a_wrong_value_is_named(section: str, line: str) -> None:
    key = line.split(" = ", maxsplit=1)[0]
    with pytest.raises(ConfigError) as caught:
        parse(f"[{section}]\n{line}\n", {})
    assert caught.value.path == f"{section}.{key}"


@pytest.mark.parametrize(
    "line", ["false_alert_budget = 0.001", "false_alert_budget = 100", "learn = false", 'tenant = ""']
)
def test_values_at_the_ends_of_their_ranges(line: str) -> None:
    parse(f"[detection]\n{line}\n", {})


def test_wrong_toml_says_where() -> None:
    with pytest.raises(ConfigError, match=r"not valid TOML: .*line 2"):
        parse("[kafka]\ntopic =\n", {})


def test_variables_are_filled_in() -> None:
    text = '[kafka]\npassword = "${SECRET}"\nbootstrap_servers = ["${HOST}:9092", "b:${PORT}"]\n'
    config = parse(text, {"SECRET": "a$b", "HOST": "kafka", "PORT": "1"})
    assert config.kafka.password == "a$b"
    assert config.kafka.bootstrap_servers == ("kafka:9092", "b:1")
    assert parse('[kafka]\npassword = "$SECRET ${not a name}"\n', {}).kafka.password == (
        "$SECRET ${not a name}"
    )


@pytest.mark.parametrize(
    ("line", "path"),
    [
        ('password = "${NO}"', "kafka.password"),
        ('bootstrap_servers = ["a", "${NO}"]', "kafka.bootstrap_servers[1]"),
    ],
)
def test_a_missing_variable_is_named(line: str, path: str) -> None:
    with pytest.raises(ConfigError, match="no variable NO") as caught:
        parse(f"[kafka]\n{line}\n", {"YES": "1"})
    assert caught.value.path == path


def test_secrets_are_read_from_files(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("p w\n")
    (tmp_path / "user").write_text("me\r\n")
    text = f"""[kafka]
username = "${{file:{tmp_path}/user}}"
password = "${{file:{tmp_path}/password}}"
"""
    kafka = parse(text, {}).kafka
    assert (kafka.username, kafka.password) == ("me", "p w")


@pytest.mark.parametrize(
    ("content", "problem"),
    [(None, "cannot read .*No such file"), (b"\xff", "is no text"), (b"x" * 65_537, "more than 65536 bytes")],
)
def test_a_secret_file_that_cannot_be_one_is_named(
    tmp_path: Path, content: bytes | None, problem: str
) -> None:
    if content is not None:
        (tmp_path / "secret").write_bytes(content)
    with pytest.raises(ConfigError, match=problem) as caught:
        parse(f'[kafka]\npassword = "${{file:{tmp_path}/secret}}"\n', {})
    assert caught.value.path == "kafka.password"
    assert str(tmp_path / "secret") in str(caught.value)


def test_no_text_of_a_configuration_holds_a_secret() -> None:
    text = """[kafka]
password = "${A}"
username = "visible"
[elasticsearch]
hosts = ["https://me:${B}@es:9200"]
api_key = "${C}"
password = "${D}"
[webhook]
url = "https://soar/${F}"
token = "${G}"
password = "${H}"
signing_key = "whsec_${I}"
key_password = "${J}"
[privacy]
client_id_key = "${E}"
"""
    variables = dict.fromkeys("ABCDEFGHJ", "marked-secret-of-a-length")
    config = parse(text, {**variables, "I": "markedsecret" * 3})
    assert config.elasticsearch.hosts == ("https://me:marked-secret-of-a-length@es:9200",)
    printed = io.StringIO()
    Console(file=printed, width=10_000).print(config)
    for shown in (repr(config), str(config), pformat(config), f"{config.kafka!r}", printed.getvalue()):
        assert "marked" not in shown
    assert "password='***'" in repr(config)
    assert "username='visible'" in repr(config)
    assert "https://***@es:9200" in repr(config)
    assert "password=''" in repr(Config())


def test_a_secret_in_the_wrong_place_does_not_show_in_the_error() -> None:
    with pytest.raises(ConfigError) as caught:
        parse('[kafka]\nclient = "${A}"\n', {"A": "marked-secret"})
    assert "marked-secret" not in str(caught.value)
    assert caught.value.path == "kafka.client"
    assert caught.value.__cause__ is None


def test_a_file_is_named_in_its_errors(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text('[kafka]\ntopik = "x"\n')
    with pytest.raises(ConfigError) as caught:
        load(path, {})
    assert str(caught.value).startswith("kafka.topik: unknown key")
    assert str(caught.value).endswith(f"(in {path})")
    path.write_text('[kafka]\ntopic = "x"\n')
    assert load(path, {}).kafka.topic == "x"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="cannot read the configuration"):
        load(path, {})
    with pytest.raises(ConfigError, match=r"cannot read .*missing.toml: No such file or directory$"):
        load(tmp_path / "missing.toml", {})
