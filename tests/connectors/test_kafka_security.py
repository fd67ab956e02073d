"""TLS and sign-in with a real broker: right credentials read, each wrong one is told in one clear line."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec
import pytest
from kafka import KafkaProducer

from connectors.kafka import KafkaDeadLetterSink, check
from connectors.kafka_security import TokenFile
from connectors.kafka_source import make_source
from detector.config import Kafka
from detector.errors import SinkNotReady, SourceError
from detector.query import DeadLetter
from tests.servers.certificates import Authority, encrypted
from tests.servers.secured_kafka import ELSEWHERE, EXPIRED, MUTUAL, SecuredKafkaServer, unsigned_token

Client = Literal["kafka-python", "confluent"]
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER")


@pytest.fixture(params=["kafka-python", "confluent"])
def client(request: pytest.FixtureRequest) -> Client:
    """Every test that reads a topic runs with both clients."""
    chosen: Client = request.param
    return chosen


@dataclass(frozen=True, slots=True)
class World:
    """A topic behind the sign-in, and what it takes to be let in."""

    server: SecuredKafkaServer
    folder: Path
    right: Kafka
    other_authority: Path

    def token(self, content: str) -> str:
        """The path of a token file with that content."""
        file = self.folder / f"token-{uuid.uuid4().hex}"
        file.write_text(content, encoding="utf-8")
        return str(file)


Change = Callable[[World], Kafka]


@pytest.fixture(scope="module")
def world(secured_kafka: SecuredKafkaServer, tmp_path_factory: pytest.TempPathFactory) -> World:
    topic = f"test-{uuid.uuid4().hex}"
    secured_kafka.create_topic(topic)
    producer = KafkaProducer(bootstrap_servers=secured_kafka.bootstrap)
    for value in (b"one", b"two"):
        producer.send(topic, value, partition=0)
    producer.flush()
    producer.close()
    folder = tmp_path_factory.mktemp("secured")
    right = Kafka(
        bootstrap_servers=(secured_kafka.address(),),
        topic=topic,
        security_protocol="SASL_SSL",
        ca_file=str(secured_kafka.ca_file),
        sasl_mechanism="SCRAM-SHA-512",
        username=secured_kafka.user,
        password=secured_kafka.password,
    )
    return World(secured_kafka, folder, right, Authority(folder, "another").file)


def _read(settings: Kafka, count: int) -> list[bytes]:
    settings = msgspec.structs.replace(settings, group_id=f"group-{uuid.uuid4().hex}")
    source = make_source(settings, on_assigned=lambda partitions: dict.fromkeys(partitions, 0))
    source.open()
    try:
        values: list[bytes] = []
        for _ in range(60):
            values += [value for batch in source.poll(0.5, 100) for value in batch.values]
            if len(values) >= count:
                source.commit({0: len(values)})
                break
        return values
    finally:
        source.close()


@pytest.mark.servers
@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_right_credentials_are_let_in(
    world: World, client: Client, mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"]
) -> None:
    settings = msgspec.structs.replace(world.right, client=client, sasl_mechanism=mechanism)
    if mechanism == "OAUTHBEARER":
        token = world.token(unsigned_token(world.server.user) + "\n")
        settings = msgspec.structs.replace(settings, username="", password="", oauth_token_file=token)
    assert "1 partition" in check(settings)
    assert _read(settings, 2) == [b"one", b"two"]


def _mutual(**changes: object) -> Change:
    """Settings for the listener that wants a certificate, with the right one but for `changes`."""

    def settings(world: World) -> Kafka:
        shown = world.server.certificate
        right = Kafka(
            bootstrap_servers=(world.server.address(MUTUAL),),
            topic=world.right.topic,
            security_protocol="SSL",
            ca_file=world.right.ca_file,
            certificate_file=str(shown.certificate),
            key_file=str(shown.key),
        )
        return msgspec.structs.replace(right, **changes)

    return settings


@pytest.mark.servers
@pytest.mark.parametrize("files", ["two", "one", "encrypted"])
def test_the_right_certificate_is_let_in(world: World, client: Client, files: str) -> None:
    settings = msgspec.structs.replace(_mutual()(world), client=client)
    shown = world.server.certificate
    if files == "one":
        settings = msgspec.structs.replace(settings, certificate_file=str(shown.both), key_file="")
    if files == "encrypted":
        locked = world.folder / f"locked-{client}.key"
        locked.write_bytes(encrypted(shown.key, b"opens it"))
        settings = msgspec.structs.replace(settings, key_file=str(locked), key_password="opens it")
    assert "1 partition" in check(settings)
    assert _read(settings, 2) == [b"one", b"two"]


@pytest.mark.servers
def test_dead_letters_go_through_the_sign_in_too(world: World) -> None:
    topic = f"letters-{uuid.uuid4().hex}"
    world.server.create_topic(topic)
    sink = KafkaDeadLetterSink(msgspec.structs.replace(world.right, dead_letter_topic=topic))
    sink.open()
    sink.write_dead_letters([DeadLetter("not_json", "", b"raw", "source", 0, 1)])
    sink.close()
    assert _read(msgspec.structs.replace(world.right, topic=topic), 1) == [b"raw"]


def _but(**changes: object) -> Change:
    return lambda world: msgspec.structs.replace(world.right, **changes)


def _oauth(content: str | None = None, file: str = "") -> Change:
    return lambda world: msgspec.structs.replace(
        world.right,
        sasl_mechanism="OAUTHBEARER",
        username="",
        password="",
        oauth_token_file=file if content is None else world.token(content),
    )


def _strange(world: World) -> dict[str, str]:
    """A certificate of an authority that the broker does not know."""
    made = Authority(world.folder, "strange").certify("stranger")
    return {"certificate_file": str(made.certificate), "key_file": str(made.key)}


WRONG: dict[str, tuple[Change, str]] = {
    "PLAIN password": (
        _but(sasl_mechanism="PLAIN", password="wrong"),
        r"refuses the credentials of user 'detector'; check kafka\.username, kafka\.password",
    ),
    "SCRAM-SHA-256 password": (_but(sasl_mechanism="SCRAM-SHA-256", password="wrong"), "refuses the cred"),
    "SCRAM-SHA-512 password": (_but(password="wrong"), "refuses the credentials"),
    "user": (_but(username="nobody"), "refuses the credentials of user 'nobody'"),
    "rights": (_but(username="stranger"), "has no topic '[^']*' that this user may see"),
    "authority": (
        lambda world: msgspec.structs.replace(world.right, ca_file=str(world.other_authority)),
        r"certificate of Kafka at [^ ]* is not accepted: [^;]*issuer[^;]*; check that kafka\.ca_file",
    ),
    "system's authorities": (_but(ca_file=""), "is not accepted: [^;]*issuer"),
    "missing authority": (_but(ca_file="missing.pem"), r"No such file[^;]*; check kafka\.ca_file"),
    "expired certificate": (
        lambda world: msgspec.structs.replace(
            world.right, bootstrap_servers=(world.server.address(EXPIRED),)
        ),
        "is not accepted: certificate has expired;",
    ),
    "another host's certificate": (
        lambda world: msgspec.structs.replace(
            world.right, bootstrap_servers=(world.server.address(ELSEWHERE),)
        ),
        r"IP address mismatch.*; check that .* kafka\.bootstrap_servers has its names",
    ),
    "no TLS to a TLS port": (
        _but(security_protocol="PLAINTEXT", ca_file="", sasl_mechanism=""),
        r"speaks TLS there; set kafka\.security_protocol to SASL_SSL or SSL",
    ),
    "sign-in without TLS to a TLS port": (
        _but(security_protocol="SASL_PLAINTEXT", ca_file=""),
        "speaks TLS there",
    ),
    "TLS to a port without": (
        lambda world: msgspec.structs.replace(world.right, bootstrap_servers=(world.server.bootstrap,)),
        r"does not complete a TLS handshake .*kafka\.security_protocol \(SASL_SSL\)",
    ),
    "no certificate": (
        _mutual(certificate_file="", key_file=""),
        r"wants a certificate of its clients \([A-Z0-9_]+\); set kafka\.certificate_file",
    ),
    "certificate of another authority": (
        lambda world: _mutual(**_strange(world))(world),
        r"does not accept the certificate in kafka\.certificate_file",
    ),
    "missing certificate": (
        _mutual(certificate_file="absent.crt"),
        r"kafka\.certificate_file cannot be read: absent\.crt: No such file",
    ),
    "another key": (
        lambda world: _mutual(key_file=_strange(world)["key_file"])(world),
        r"kafka\.key_file is not the key of kafka\.certificate_file",
    ),
    "no key": (_mutual(key_file=""), r"cannot be used \(.*both must be PEM"),
    "key without certificate": (_mutual(certificate_file=""), r"key_file is set, but not kafka\.certificate"),
    "expired token": (_oauth(unsigned_token("detector", -1.0)), "the token in .* has expired; renew it"),
    "refused token": (_oauth("no-token-of-theirs"), "refuses the token in [^ ]*; renew it"),
    "token without rights": (_oauth(unsigned_token("stranger")), "has no topic"),
    "two tokens": (_oauth("one two"), "does not hold one token"),
    "missing token": (_oauth(file="missing"), r"missing \(kafka\.oauth_token_file\) cannot be read: No such"),
}


@pytest.mark.servers
@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_one_clear_line(
    world: World, client: Client, what: str, capfd: pytest.CaptureFixture[str]
) -> None:
    change, said = WRONG[what]
    settings = msgspec.structs.replace(change(world), client=client)
    with pytest.raises(SourceError, match=said) as caught:
        make_source(settings, on_assigned=lambda partitions: {}).open()
    assert "\n" not in str(caught.value)
    assert world.server.password not in str(caught.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.servers
def test_a_refused_sign_in_of_the_dead_letter_sink_needs_a_person(world: World) -> None:
    settings = msgspec.structs.replace(world.right, password="wrong", dead_letter_topic="letters")
    with pytest.raises(SinkNotReady, match="refuses the credentials"):
        KafkaDeadLetterSink(settings).open()


@pytest.mark.servers
def test_a_token_is_read_again_at_each_connection(world: World) -> None:
    file = world.token(unsigned_token(world.server.user))
    settings = msgspec.structs.replace(world.right, sasl_mechanism="OAUTHBEARER", oauth_token_file=file)
    check(settings)
    Path(file).write_text("no longer one", encoding="utf-8")
    with pytest.raises(SourceError, match="does not hold one token"):
        check(settings)
    Path(file).write_text(unsigned_token(world.server.user), encoding="utf-8")
    check(settings)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (Kafka(security_protocol="SASL_SSL"), r"sasl_mechanism is empty"),
        (Kafka(sasl_mechanism="PLAIN"), "PLAINTEXT, which signs nobody in; use SASL_SSL"),
        (Kafka(ca_file="ca.pem"), r"kafka\.ca_file is set, but .* uses no TLS"),
        (Kafka(certificate_file="a.crt"), r"kafka\.certificate_file is set, but .* uses no TLS"),
        (Kafka(security_protocol="SASL_SSL", sasl_mechanism="OAUTHBEARER"), "oauth_token_file is empty"),
        (Kafka(security_protocol="SASL_SSL", sasl_mechanism="PLAIN", username="u"), "needs .*password"),
    ],
)
def test_settings_that_contradict_each_other_are_told(settings: Kafka, said: str, client: Client) -> None:
    with pytest.raises(SourceError, match=said):
        make_source(
            msgspec.structs.replace(settings, client=client), on_assigned=lambda partitions: {}
        ).open()


@pytest.fixture
def token_file(tmp_path: Path) -> Iterator[tuple[Path, TokenFile]]:
    file = tmp_path / "token"
    yield file, TokenFile(Kafka(oauth_token_file=str(file)))


def test_tokens_of_any_kind_are_taken_and_jwts_tell_their_end(token_file: tuple[Path, TokenFile]) -> None:
    file, provider = token_file
    file.write_text(f" {unsigned_token('a', 600.0)}\n", encoding="utf-8")
    token, expiry = provider.read()
    assert token == file.read_text(encoding="utf-8").strip() == provider.token()
    assert provider.for_librdkafka("")[0] == token
    assert provider.for_librdkafka("")[1] < expiry < float("inf")
    for opaque in ("opaque", "a.b.c", "a.W10.c", "e30.e30.", "a.eyJleHAiOiAieCJ9."):
        file.write_text(opaque, encoding="utf-8")
        assert provider.read() == (opaque, float("inf"))
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(SourceError, match="it is no text"):
        provider.token()
