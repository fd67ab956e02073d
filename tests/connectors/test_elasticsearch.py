"""The Elasticsearch sink: against a real cluster, and against answers that a healthy one does not give."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from elasticsearch import Elasticsearch

from connectors.elasticsearch import ElasticsearchSink, check
from detector.alert import Alert
from detector.config import Elasticsearch as Settings
from detector.errors import SinkNotReady, SinkUnavailable
from tests.connectors.fake_elasticsearch import Act, Answer, FakeElasticsearch, cut, items, status
from tests.servers.elasticsearch import ElasticsearchServer

NOW = datetime(2026, 11, 25, 10, 0, 0, 123_000, tzinfo=UTC)


def _alert(name: str, *, offset: int = 0, **querywatch: Any) -> Alert:
    document: dict[str, Any] = {
        "@timestamp": "2026-11-24T10:15:42.118Z",
        "message": "Model inversion query pattern",
        "event": {"kind": "alert", "module": "querywatch", "dataset": "querywatch.alerts", "severity": 73},
        "data_stream": {"type": "logs", "dataset": "querywatch.alerts", "namespace": "default"},
        "source": {"ip": "203.0.113.24"},
        "user": {"id": "client-7"},
        "querywatch": {"entity": {"kind": "session", "id": "s-1"}, **querywatch},
    }
    return Alert(name, document, offset)


def _feature(name: str, value: float) -> dict[str, Any]:
    return {"name": name, "value": value, "normal_median": 0.1, "normal_p99": 0.5, "contribution": 0.4}


Open = Callable[..., ElasticsearchSink]


@pytest.fixture
def opened() -> Iterator[Open]:
    """`opened(url, namespace, **options)` opens a sink that is closed after the test."""
    sinks: list[ElasticsearchSink] = []

    def make(url: str, namespace: str = "default", **options: Any) -> ElasticsearchSink:
        settings = Settings(hosts=(url,), namespace=namespace, timeout_seconds=10)
        sink = ElasticsearchSink(settings, now=lambda: NOW, **options)
        sinks.append(sink)
        sink.open()
        return sink

    yield make
    for sink in sinks:
        sink.close()


@pytest.fixture
def real(elasticsearch_server: ElasticsearchServer) -> Iterator[Elasticsearch]:
    with Elasticsearch(elasticsearch_server.url) as client:
        yield client


@pytest.fixture
def fake() -> Iterator[FakeElasticsearch]:
    with FakeElasticsearch() as server:
        yield server


def _found(client: Elasticsearch, stream: str, query: dict[str, Any]) -> list[dict[str, Any]]:
    client.indices.refresh(index=stream)
    hits: list[dict[str, Any]] = client.search(index=stream, query=query, size=1000)["hits"]["hits"]
    return hits


@pytest.mark.servers
def test_alerts_are_found_as_written_and_a_second_write_adds_nothing(
    elasticsearch_server: ElasticsearchServer, real: Elasticsearch, namespace: str, opened: Open
) -> None:
    alerts = [_alert(f"a{i}") for i in range(1200)]
    sink = opened(elasticsearch_server.url, namespace)
    first = sink.write(alerts)
    assert (first.created, first.duplicates, first.rejected) == (1200, 0, ())
    second = sink.write(alerts)
    assert (second.created, second.duplicates, second.rejected) == (0, 1200, ())

    assert real.indices.resolve_index(name=sink.stream)["data_streams"][0]["name"] == sink.stream
    real.indices.refresh(index=sink.stream)
    assert real.count(index=sink.stream, query={"term": {"event.kind": "alert"}})["count"] == 1200

    (hit,) = _found(real, sink.stream, {"ids": {"values": ["a7"]}})
    expected = dict(_alert("a7").document)
    expected["event"] = {**expected["event"], "created": "2026-11-25T10:00:00.123Z"}
    expected["event"]["ingested"] = expected["event"]["created"]
    expected["data_stream"] = {**expected["data_stream"], "namespace": namespace}
    assert hit["_source"] == expected
    assert "created" not in alerts[7].document["event"], "the alert itself is not touched"


@pytest.mark.servers
def test_a_restart_recognises_what_it_wrote(
    elasticsearch_server: ElasticsearchServer, namespace: str, opened: Open
) -> None:
    opened(elasticsearch_server.url, namespace).write([_alert("a")])
    again = opened(elasticsearch_server.url, namespace).write([_alert("a"), _alert("b")])
    assert (again.created, again.duplicates) == (1, 1)


@pytest.mark.servers
def test_the_template_is_in_force(
    elasticsearch_server: ElasticsearchServer, real: Elasticsearch, namespace: str, opened: Open
) -> None:
    sink = opened(elasticsearch_server.url, namespace)
    features = [_feature("step_cosine", 0.9), _feature("margin", 0.2)]
    series = {"confidence": [0.1, 0.5], "distance": [3.0, 2.0]}
    sink.write([_alert("a", evidence={"features": features, "series": series}, surprise={"x": "kept"})])

    (index,) = real.indices.get(index=sink.stream).values()
    fields = index["mappings"]["properties"]
    evidence = fields["querywatch"]["properties"]["evidence"]["properties"]
    assert fields["source"]["properties"]["ip"]["type"] == "ip"
    assert evidence["features"]["type"] == "nested"
    assert evidence["series"]["properties"]["confidence"]["index"] is False
    assert "surprise" not in fields["querywatch"]["properties"], "unknown fields are stored, not mapped"

    def with_feature(name: str, at_least: float) -> list[dict[str, Any]]:
        path = "querywatch.evidence.features"
        both = [{"term": {f"{path}.name": name}}, {"range": {f"{path}.value": {"gte": at_least}}}]
        return _found(real, sink.stream, {"nested": {"path": path, "query": {"bool": {"must": both}}}})

    assert with_feature("step_cosine", 0.8)[0]["_source"]["querywatch"]["surprise"] == {"x": "kept"}
    assert with_feature("margin", 0.8) == []


@pytest.mark.servers
def test_an_alert_that_the_mapping_refuses_is_a_dead_letter_and_the_others_are_stored(
    elasticsearch_server: ElasticsearchServer, real: Elasticsearch, namespace: str, opened: Open
) -> None:
    bad = _alert("bad", offset=42, detector={"score": "very high"})
    sink = opened(elasticsearch_server.url, namespace)
    delivery = sink.write([_alert("a"), bad, _alert("b")])
    assert delivery.created == 2
    (letter,) = delivery.rejected
    assert (letter.reason, letter.source, letter.offset, letter.raw) == (
        "rejected_by_sink",
        "elasticsearch",
        42,
        bad.to_json(),
    )
    assert "querywatch.detector.score" in letter.detail
    assert {hit["_id"] for hit in _found(real, sink.stream, {"match_all": {}})} == {"a", "b"}


@pytest.mark.servers
def test_a_number_that_json_lacks_becomes_null(
    elasticsearch_server: ElasticsearchServer, real: Elasticsearch, namespace: str, opened: Open
) -> None:
    sink = opened(elasticsearch_server.url, namespace)
    assert sink.write([_alert("a", detector={"score": float("nan")})]).created == 1
    (hit,) = _found(real, sink.stream, {"match_all": {}})
    assert hit["_source"]["querywatch"]["detector"] == {"score": None}


@pytest.mark.servers
def test_after_a_rollover_nothing_is_stored_twice(
    elasticsearch_server: ElasticsearchServer, real: Elasticsearch, namespace: str, opened: Open
) -> None:
    sink = opened(elasticsearch_server.url, namespace)
    sink.write([_alert("a"), _alert("b")])
    real.indices.rollover(alias=sink.stream)
    again = opened(elasticsearch_server.url, namespace).write([_alert("a"), _alert("b"), _alert("c")])
    assert (again.created, again.duplicates) == (1, 2)
    # Also for a sink that was open all the time: the partition may have come from a member that was killed.
    assert (sink.write([_alert("a")]).created, sink.write([_alert("c")]).created) == (0, 0)
    assert len(_found(real, sink.stream, {"match_all": {}})) == 3


@pytest.mark.servers
def test_an_answer_that_never_arrives_stores_nothing_twice(
    elasticsearch_server: ElasticsearchServer, real: Elasticsearch, namespace: str, opened: Open
) -> None:
    with FakeElasticsearch(elasticsearch_server.url, cut_after=1) as between:
        sink = opened(between.url, namespace)
        delivery = sink.write([_alert("a"), _alert("b")])
        assert delivery.created + delivery.duplicates == 2
        assert len(_found(real, sink.stream, {"match_all": {}})) == 2
        sink.close()


@pytest.mark.servers
@pytest.mark.parametrize(("page", "kind"), [(False, "event"), (True, "alert")])
def test_a_replay_pages_nobody_unless_told(
    elasticsearch_server: ElasticsearchServer,
    real: Elasticsearch,
    namespace: str,
    opened: Open,
    page: bool,
    kind: str,
) -> None:
    sink = opened(elasticsearch_server.url, namespace, replay=True, page=page)
    assert sink.stream == f"logs-querywatch.alerts-{namespace if page else 'replay'}"
    alert = _alert(f"replayed-{namespace}")
    assert sink.write([alert]).created == 1
    (hit,) = _found(real, sink.stream, {"ids": {"values": [alert.id]}})
    assert hit["_source"]["event"]["kind"] == kind
    assert hit["_source"]["data_stream"]["namespace"] == sink.stream.rpartition("-")[2]


@pytest.mark.servers
def test_without_the_template_nothing_is_written(
    elasticsearch_server: ElasticsearchServer, real: Elasticsearch, namespace: str, opened: Open
) -> None:
    sink = opened(elasticsearch_server.url, namespace)
    # Another template of higher priority takes the name, and makes plain indices.
    name = f"plain-{namespace}"
    real.indices.put_index_template(name=name, index_patterns=[sink.stream], priority=900, template={})
    try:
        with pytest.raises(SinkNotReady, match="no data stream"):
            sink.write([_alert("a")])
        assert not real.indices.exists(index=sink.stream)
        real.indices.create(index=sink.stream)
        with pytest.raises(SinkNotReady, match="plain index"):
            opened(elasticsearch_server.url, namespace)
        real.indices.delete(index=sink.stream)
    finally:
        real.indices.delete_index_template(name=name)
    assert sink.write([_alert("a")]).created == 1


@pytest.mark.servers
def test_check_names_the_cluster(elasticsearch_server: ElasticsearchServer) -> None:
    said = check(Settings(hosts=(elasticsearch_server.url,)))
    assert said.startswith(
        f"Elasticsearch at {elasticsearch_server.url}: cluster 'querywatch-tests', version 9."
    )


def test_no_cluster_is_one_clear_line_at_once() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    settings = Settings(hosts=(f"http://someone:secret@127.0.0.1:{port}",))
    began = time.monotonic()
    attempts: list[Callable[[], object]] = [lambda: check(settings), ElasticsearchSink(settings).open]
    for attempt in attempts:
        with pytest.raises(
            SinkUnavailable, match=rf"^elasticsearch: no answer from http://127\.0\.0\.1:{port}: "
        ) as caught:
            attempt()
        assert "\n" not in str(caught.value)
        assert "secret" not in str(caught.value)
    assert time.monotonic() - began < 5.0


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        (Settings(), "hosts is empty"),
        (Settings(hosts=("localhost",)), "hosts localhost cannot be used; write them as https://name:9200"),
        (Settings(hosts=("https://me:secret@localhost:x",)), r"hosts https://localhost:x cannot"),
        (Settings(hosts=("https://localhost:1",), ca_file="missing.pem"), "ca_file"),
        (Settings(hosts=("http://localhost:1",), ca_file="missing.pem"), "not every host is https"),
    ],
)
def test_settings_that_cannot_be_right_are_not_ready(settings: Settings, problem: str) -> None:
    with pytest.raises(SinkNotReady, match=problem):
        check(settings)


def test_plain_http_behind_https_is_told_as_tls(fake: FakeElasticsearch) -> None:
    settings = Settings(hosts=(fake.url.replace("http:", "https:"),), username="u", password="secret")
    with pytest.raises(SinkNotReady, match="TLS connection") as caught:
        check(settings)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("code", "error", "problem"),
    [
        (401, SinkNotReady, "refuses the API key: .*make a new one"),
        (503, SinkUnavailable, "overloaded or starting"),
    ],
)
def test_a_refusal_at_start_says_what_to_do(
    fake: FakeElasticsearch, code: int, error: type[Exception], problem: str
) -> None:
    fake.answers["/"] = (code, {"error": {"type": "security_exception", "reason": "no"}})
    settings = Settings(hosts=(fake.url,), api_key="secret-key")
    with pytest.raises(error, match=problem) as caught:
        ElasticsearchSink(settings).open()
    assert "secret-key" not in str(caught.value)


def test_a_key_that_may_only_write_is_enough(fake: FakeElasticsearch, opened: Open) -> None:
    forbidden = (403, {"error": {"type": "security_exception", "reason": "no"}})
    sink_stream = "logs-querywatch.alerts-default"
    fake.answers["/_index_template/querywatch-alerts"] = forbidden
    fake.answers[f"/_resolve/index/{sink_stream}"] = forbidden
    fake.answers[f"/{sink_stream}/_search"] = forbidden
    assert opened(fake.url).write([_alert("a")]).created == 1


def test_a_cluster_without_failure_store_gets_the_template_without_that_choice(
    fake: FakeElasticsearch, opened: Open, caplog: pytest.LogCaptureFixture
) -> None:
    reason = "[index_template] unknown field [data_stream_options]"
    fake.answers["/_index_template/querywatch-alerts"] = (400, {"error": {"type": "x", "reason": reason}})
    with pytest.raises(SinkNotReady, match="data_stream_options"), caplog.at_level("INFO", "connectors"):
        opened(fake.url)  # this stand-in refuses the second body as well
    assert "has no failure store" in caplog.text


def test_only_the_busy_documents_are_sent_again(fake: FakeElasticsearch, opened: Open) -> None:
    fake.script = [items({"b": 429, "c": 503}), items({"b": 429})]
    delivery = opened(fake.url).write([_alert("a"), _alert("b"), _alert("c")])
    assert (delivery.created, delivery.duplicates, delivery.rejected) == (3, 0, ())
    assert fake.bulks == [["a", "b", "c"], ["b", "c"], ["b"]]


@pytest.mark.parametrize("trouble", [status(429), status(503), status(502), cut()])
def test_a_request_that_fails_is_sent_again(fake: FakeElasticsearch, opened: Open, trouble: Act) -> None:
    fake.script = [trouble, trouble]
    delivery = opened(fake.url).write([_alert("a"), _alert("b")])
    assert delivery.created == 2
    assert fake.bulks == [["a", "b"]] * 3


def test_what_was_stored_before_the_answer_was_lost_is_not_sent_again(
    fake: FakeElasticsearch, opened: Open
) -> None:
    sink = opened(fake.url)

    def store_a_and_cut(ids: list[str]) -> Answer | None:
        fake.answers[f"/{sink.stream}/_search"] = (200, {"hits": {"hits": [{"_id": "a"}]}})
        return None

    fake.script = [store_a_and_cut]
    delivery = sink.write([_alert("a"), _alert("b")])
    assert (delivery.created, delivery.duplicates) == (1, 1)
    assert fake.bulks == [["a", "b"], ["b"]]


@pytest.mark.parametrize("trouble", [status(429), cut(), items({"a": 429})])
def test_when_time_is_up_the_caller_is_told_and_the_same_write_succeeds_later(
    opened: Open, trouble: Act
) -> None:
    with FakeElasticsearch(fallback=trouble) as fake:
        sink = opened(fake.url, retry_seconds=1.0)
        began = time.monotonic()
        with pytest.raises(SinkUnavailable):
            sink.write([_alert("a")])
        assert time.monotonic() - began < 5.0
        fake.script = [items({})]
        assert sink.write([_alert("a")]).created == 1
        sink.close()


def test_a_chunk_that_is_too_large_is_halved_and_a_document_that_is_stays_a_dead_letter(opened: Open) -> None:
    def at_most_two(ids: list[str]) -> Answer | None:
        return status(413)(ids) if len(ids) > 2 or "e" in ids else items({})(ids)

    with FakeElasticsearch(fallback=at_most_two) as fake:
        sink = opened(fake.url)
        delivery = sink.write([_alert(name) for name in "abcdefg"])
        assert delivery.created == 6
        (letter,) = delivery.rejected
        assert letter.raw == _alert("e").to_json()
        assert "larger than the cluster takes" in letter.detail
        taken = [bulk for bulk in fake.bulks if len(bulk) <= 2 and "e" not in bulk]
        assert sorted(name for bulk in taken for name in bulk) == list("abcdfg"), (
            "each is sent in one request"
        )
        sink.close()


def test_the_failure_store_is_not_a_delivery(fake: FakeElasticsearch, opened: Open) -> None:
    fake.script = [items({}, failure_store="used", _index=".fs-test-000001")]
    delivery = opened(fake.url).write([_alert("a")])
    assert delivery.created == 0
    assert "failure store" in delivery.rejected[0].detail


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (status(401), "wants credentials"),
        (status(403), "forbids this"),
        (status(404), "answers 404"),
        (items({"a": 401}), "wants credentials; set elasticsearch.api_key"),
        (items({"a": 403}), "forbids this: give it create_doc and auto_configure on logs-querywatch.alerts-"),
        (items({"a": 404}), "no index template makes it one"),
    ],
)
def test_what_a_person_must_mend_is_told_at_once(
    fake: FakeElasticsearch, opened: Open, answer: Act, problem: str
) -> None:
    fake.script = [answer]
    with pytest.raises(SinkNotReady, match=problem):
        opened(fake.url).write([_alert("a")])
    assert len(fake.bulks) == 1


def test_a_plain_index_is_told(fake: FakeElasticsearch, opened: Open) -> None:
    fake.script = [items({}, _index="logs-querywatch.alerts-default")]
    with pytest.raises(SinkNotReady, match="plain index"):
        opened(fake.url).write([_alert("a")])


def test_an_empty_write_sends_nothing_and_a_closed_sink_says_so(
    fake: FakeElasticsearch, opened: Open
) -> None:
    sink = opened(fake.url)
    assert sink.write([]).created == 0
    assert fake.bulks == []
    sink.close()
    with pytest.raises(SinkNotReady, match="before open"):
        sink.write([_alert("a")])
