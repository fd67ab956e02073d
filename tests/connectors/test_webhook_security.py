"""TLS with a real HTTPS server: right certificates are let in, each wrong one is told in one clear line."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from connectors.webhook import WebhookSink, check
from detector.alert import Alert
from detector.config import Webhook
from detector.errors import SinkError, SinkNotReady, SinkUnavailable
from tests.connectors.webhook_receiver import Receiver
from tests.servers.certificates import Authority, Certificate, encrypted

ALERT = Alert("f" * 40, {"@timestamp": "2026-01-01T00:00:00Z", "event": {"kind": "alert"}}, 0)


@dataclass(frozen=True, slots=True)
class World:
    """Two authorities; certificates of the first for a server and for us, and one of ours from the other."""

    authority: Authority
    other: Authority
    server: Certificate
    ours: Certificate
    foreign: Certificate


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("authority")
    right, other = Authority(folder, "right"), Authority(folder, "other")
    return World(
        right, other, right.certify("server"), right.certify("ours"), other.certify("foreign")
    )  # fmt: skip


@contextmanager
def receiving(
    world: World,
    *,
    certificate: Certificate | None = None,
    asks: bool = False,
    version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
) -> Iterator[Receiver]:
    """A receiver over TLS; with `asks` it wants a certificate of the right authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.maximum_version = version
    context.load_cert_chain((certificate or world.server).both)
    if asks:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(world.authority.file)
    with Receiver(tls=context) as receiver:
        yield receiver


def write(receiver: Receiver, **options: Any) -> None:
    """Check, then send one alert."""
    settings = Webhook(**{"url": receiver.url, "timeout_seconds": 5.0, **options})
    assert "not encrypted" not in check(settings)
    sink = WebhookSink(settings)
    sink.open()
    try:
        assert sink.write([ALERT]).created == 1
    finally:
        sink.close()
    assert [found.id for found in receiver.alerts] == [ALERT.id]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_the_pinned_authority_is_trusted_and_a_certificate_is_shown(
    world: World, version: ssl.TLSVersion, tmp_path: Path
) -> None:
    locked = tmp_path / "locked.key"
    locked.write_bytes(encrypted(world.ours.key, b"marked-key-password"))
    with receiving(world, asks=True, version=version) as receiver:
        write(
            receiver,
            ca_file=str(world.authority.file),
            certificate_file=str(world.ours.certificate),
            key_file=str(locked),
            key_password="marked-key-password",
        )


Options = Callable[[World], dict[str, str]]
WRONG: dict[str, tuple[Options, bool, type[SinkError], str]] = {
    "the system's authorities": (lambda w: {}, False, SinkNotReady, r"the TLS connection to .* fails: "),
    "another authority": (
        lambda w: {"ca_file": str(w.other.file)},
        False,
        SinkNotReady,
        r"check that webhook\.ca_file is the authority",
    ),
    "no certificate": (
        lambda w: {"ca_file": str(w.authority.file)},
        True,
        SinkNotReady,
        r"wants a certificate of its clients .*set webhook\.certificate_file",
    ),
    "certificate of another authority": (
        lambda w: {"ca_file": str(w.authority.file), "certificate_file": str(w.foreign.both)},
        True,
        SinkNotReady,
        r"does not accept the certificate in webhook\.certificate_file",
    ),
    "another key": (
        lambda w: {"certificate_file": str(w.ours.certificate), "key_file": str(w.server.key)},
        True,
        SinkNotReady,
        r"webhook\.key_file is not the key of webhook\.certificate_file",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_one_clear_line(what: str, world: World) -> None:
    options, asks, kind, said = WRONG[what]
    with receiving(world, asks=asks) as receiver, pytest.raises(kind, match=said) as caught:
        write(receiver, token="marked-token", **options(world))
    assert "\n" not in str(caught.value)
    assert "marked" not in str(caught.value)
    assert (receiver.requests, receiver.greeted) == ([], [])


@pytest.mark.parametrize(
    ("hosts", "expired", "said"),
    [(("elsewhere.example",), False, "IP address mismatch"), (("127.0.0.1",), True, "expired")],
)
def test_a_certificate_for_another_name_or_of_the_past_is_refused(
    world: World, hosts: tuple[str, ...], expired: bool, said: str
) -> None:
    wrong = world.authority.certify("wrong", hosts, expired=expired)
    with receiving(world, certificate=wrong) as receiver, pytest.raises(SinkNotReady, match=said):
        write(receiver, ca_file=str(world.authority.file))


def test_http_where_https_is_spoken_and_the_other_way_round(world: World) -> None:
    with receiving(world) as receiver, pytest.raises(SinkUnavailable, match="no answer from http://"):
        check(Webhook(url=receiver.url.replace("https:", "http:"), timeout_seconds=5.0))
    with Receiver() as plain, pytest.raises(SinkNotReady, match=r"the TLS connection to https://.* fails"):
        check(Webhook(url=plain.url.replace("http:", "https:"), timeout_seconds=5.0))
