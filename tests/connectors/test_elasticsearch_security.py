"""TLS and sign-in with a real node: right credentials write, each wrong one is told in one clear line."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from connectors.elasticsearch import ElasticsearchSink, check
from detector.alert import Alert
from detector.config import Elasticsearch
from detector.errors import SinkError, SinkNotReady, SinkUnavailable
from tests.servers.certificates import Authority, Certificate
from tests.servers.secured_elasticsearch import SecuredElasticsearchServer

pytestmark = pytest.mark.servers
STREAMS = "logs-querywatch.alerts-*"
WRITER = {"indices": [{"names": [STREAMS], "privileges": ["create_doc", "auto_configure"]}]}
FULL = {
    "cluster": ["monitor", "manage_index_templates"],
    "indices": [
        {
            "names": [STREAMS],
            "privileges": ["create_doc", "auto_configure", "read", "maintenance", "view_index_metadata"],
        }
    ],
}


@dataclass(frozen=True, slots=True)
class World:
    """A node behind the sign-in, and what it takes to be let in."""

    server: SecuredElasticsearchServer
    right: Elasticsearch
    other_authority: Path


@pytest.fixture(scope="module")
def world(
    secured_elasticsearch: SecuredElasticsearchServer, tmp_path_factory: pytest.TempPathFactory
) -> World:
    right = Elasticsearch(
        hosts=(secured_elasticsearch.url,),
        ca_file=str(secured_elasticsearch.ca_file),
        username=secured_elasticsearch.user,
        password=secured_elasticsearch.password,
    )
    # The template, as an administrator's first start leaves it.
    sink = ElasticsearchSink(right)
    sink.open()
    sink.close()
    folder = tmp_path_factory.mktemp("authority")
    return World(secured_elasticsearch, right, Authority(folder, "another").file)


def _key(world: World, rights: dict[str, Any] | None, lifetime: str = "1h") -> Elasticsearch:
    key = world.server.api_key("test", {"querywatch": rights} if rights else None, lifetime=lifetime)
    return msgspec.structs.replace(world.right, username="", password="", api_key=key)


def _write(settings: Elasticsearch) -> tuple[int, int]:
    """What a first and a second write of the same alert stored."""
    sink = ElasticsearchSink(msgspec.structs.replace(settings, namespace=f"test_{uuid.uuid4().hex}"))
    sink.open()
    alert = Alert("id-1", {"@timestamp": "2026-01-01T00:00:00Z", "event": {"kind": "alert"}}, 0)
    try:
        return sink.write([alert]).created, sink.write([alert]).duplicates
    finally:
        sink.close()


def test_basic_authentication_is_let_in(world: World) -> None:
    assert "version 9." in check(world.right)
    assert _write(world.right) == (1, 1)


def test_a_client_certificate_is_shown(world: World) -> None:
    shown = world.server.certificate
    right = msgspec.structs.replace(
        world.right, certificate_file=str(shown.certificate), key_file=str(shown.key)
    )
    assert _write(right) == (1, 1)


def test_an_api_key_with_the_documented_rights_is_let_in(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    settings = _key(world, FULL)
    assert "version 9." in check(settings)
    assert _write(settings) == (1, 1)
    assert not [record for record in caplog.records if record.name.startswith("connectors")]


def test_a_key_that_may_only_write_is_enough_once_the_template_is_there(world: World) -> None:
    settings = _key(world, WRITER)
    assert "may not ask for its version" in check(settings)
    assert _write(settings) == (1, 1)


def test_where_nothing_may_be_stored_twice_the_right_to_look_is_asked_for(world: World) -> None:
    sink = ElasticsearchSink(_key(world, WRITER), never_twice=True)
    sink.open()
    try:
        with pytest.raises(SinkNotReady, match="give the API key maintenance and read on it"):
            sink.write([Alert("id-1", {"@timestamp": "2026-01-01T00:00:00Z"}, 0)])
    finally:
        sink.close()


Change = Callable[[World], Elasticsearch]


def _but(**changes: object) -> Change:
    return lambda world: msgspec.structs.replace(world.right, **changes)


def _host(scheme: str, user: str = "") -> Change:
    return lambda world: msgspec.structs.replace(
        world.right,
        hosts=(world.server.url.replace("https://", f"{scheme}://{user}"),),
        ca_file="" if scheme == "http" else world.right.ca_file,
        username="",
        password="",
    )


def _strange(world: World) -> Certificate:
    """A certificate of an authority that the node does not know."""
    return Authority(world.other_authority.parent, "strange").certify("stranger")


WRONG: dict[str, tuple[Change, type[SinkError], str]] = {
    "password": (
        _but(password="wrong-secret"),
        SinkNotReady,
        r"refuses user '.*' with that password; check elasticsearch\.username and password",
    ),
    "password in the address": (
        _host("https", "me:wrong-secret@"),
        SinkNotReady,
        r"refuses the user and password in elasticsearch\.hosts",
    ),
    "nobody": (
        _but(username="", password=""),
        SinkNotReady,
        r"wants credentials; set elasticsearch\.api_key",
    ),
    "key": (_but(api_key="d3Jvbmc6d3Jvbmctc2VjcmV0"), SinkNotReady, "refuses the API key: .*make a new one"),
    "no key at all": (_but(api_key="wrong-secret"), SinkNotReady, "refuses the API key: .*make a new one"),
    "expired key": (
        lambda world: _key(world, None, "1ms"),
        SinkNotReady,
        "refuses the API key: .*make a new one",
    ),
    "authority": (
        lambda world: msgspec.structs.replace(world.right, ca_file=str(world.other_authority)),
        SinkNotReady,
        "TLS connection to .* fails: .*issuer.*; check that elasticsearch.ca_file",
    ),
    "system's authorities": (_but(ca_file=""), SinkNotReady, "TLS connection to .* fails: .*issuer"),
    "missing authority": (_but(ca_file="missing.pem"), SinkNotReady, "ca_file cannot be used: No such file"),
    "certificate of another authority": (
        lambda world: msgspec.structs.replace(world.right, certificate_file=str(_strange(world).both)),
        SinkNotReady,
        r"does not accept the certificate in elasticsearch\.certificate_file",
    ),
    "missing certificate": (
        _but(certificate_file="absent.crt"),
        SinkNotReady,
        r"elasticsearch\.certificate_file cannot be read: absent\.crt",
    ),
    "another key": (
        lambda world: msgspec.structs.replace(
            world.right,
            certificate_file=str(world.server.certificate.certificate),
            key_file=str(_strange(world).key),
        ),
        SinkNotReady,
        r"elasticsearch\.key_file is not the key of",
    ),
    "no TLS": (_host("http"), SinkUnavailable, "no answer from .*and whether it wants https"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_one_clear_line(world: World, what: str, capfd: pytest.CaptureFixture[str]) -> None:
    change, kind, said = WRONG[what]
    settings = change(world)
    attempts: list[Callable[[], object]] = [lambda: check(settings), ElasticsearchSink(settings).open]
    for attempt in attempts:
        with pytest.raises(kind, match=said) as caught:
            attempt()
        text = str(caught.value)
        assert "\n" not in text
        assert not [s for s in ("wrong-secret", settings.api_key, settings.password) if s and s in text]
    assert capfd.readouterr() == ("", "")


def test_a_key_without_the_right_to_write_is_told_at_the_first_write(world: World) -> None:
    settings = _key(world, {"indices": [{"names": ["elsewhere"], "privileges": ["read"]}]})
    with pytest.raises(
        SinkNotReady, match="lets the API key in, but forbids this: give it create_doc and auto_configure"
    ):
        _write(settings)
