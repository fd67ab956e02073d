"""The Elasticsearch sink against a real cluster."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from elasticsearch import Elasticsearch

from connectors.elasticsearch import check
from detector.config import Elasticsearch as Settings
from detector.errors import SinkNotReady
from tests.connectors.elasticsearch_alerts import Open, alert
from tests.connectors.fake_elasticsearch import FakeElasticsearch
from tests.servers.elasticsearch import ElasticsearchServer

pytestmark = pytest.mark.servers


def _feature(name: str, value: float) -> dict[str, Any]:
    return {"name": name, "value": value, "normal_median": 0.1, "normal_p99": 0.5, "contribution": 0.4}


@pytest.fixture
def real(elasticsearch_server: ElasticsearchServer) -> Iterator[Elasticsearch]:
    with Elasticsearch(elasticsearch_server.url) as client:
        yield client


def _found(client: Elasticsearch, stream: str, query: dict[str, Any]) -> list[dict[str, Any]]:
    client.indices.refresh(index=stream)
    hits: list[dict[str, Any]] = client.search(index=stream, query=query, size=1000)["hits"]["hits"]
    return hits


def test_alerts_are_found_as_written_and_a_second_write_adds_nothing(
    elasticsearch_server: ElasticsearchServer, real: Elasticsearch, namespace: str, opened: Open
) -> None:
    alerts = [alert(f"a{i}") for i in range(1200)]
    sink = opened(elasticsearch_server.url, namespace)
    first = sink.write(alerts)
    assert (first.created, first.duplicates, first.rejected) == (1200, 0, ())
    second = sink.write(alerts)
    assert (second.created, second.duplicates, second.rejected) == (0, 1200, ())

    assert real.indices.resolve_index(name=sink.stream)["data_streams"][0]["name"] == sink.stream
    real.indices.refresh(index=sink.stream)
    assert real.count(index=sink.stream, query={"term": {"event.kind": "alert"}})["count"] == 1200

    (hit,) = _found(real, sink.stream, {"ids": {"values": ["a7"]}})
    expected = dict(alert("a7").document)
    expected["event"] = {**expected["event"], "created": "2026-11-25T10:00:00.123Z"}
    expected["event"]["ingested"] = expected["event"]["created"]
    expected["data_stream"] = {**expected["data_stream"], "namespace": namespace}
    assert hit["_source"] == expected
    assert "created" not in alerts[7].document["event"], "the alert itself is not touched"


def test_a_restart_recognises_what_it_wrote(
    elasticsearch_server: ElasticsearchServer, namespace: str, opened: Open
) -> None:
    opened(elasticsearch_server.url, namespace).write([alert("a")])
    again = opened(elasticsearch_server.url, namespace).write([alert("a"), alert("b")])
    assert (again.created, again.duplicates) == (1, 1)


def test_the_template_is_in_force(
    elasticsearch_server: ElasticsearchServer, real: Elasticsearch, namespace: str, opened: Open
) -> None:
    sink = opened(elasticsearch_server.url, namespace)
    features = [_feature("step_cosine", 0.9), _feature("margin", 0.2)]
    series = {"confidence": [0.1, 0.5], "distance": [3.0, 2.0]}
    sink.write([alert("a", evidence={"features": features, "series": series}, surprise={"x": "kept"})])

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


def test_an_alert_that_the_mapping_refuses_is_a_dead_letter_and_the_others_are_stored(
    elasticsearch_server: ElasticsearchServer, real: Elasticsearch, namespace: str, opened: Open
) -> None:
    bad = alert("bad", offset=42, detector={"score": "very high"})
    sink = opened(elasticsearch_server.url, namespace)
    delivery = sink.write([alert("a"), bad, alert("b")])
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


def test_a_number_that_json_lacks_becomes_null(
    elasticsearch_server: ElasticsearchServer, real: Elasticsearch, namespace: str, opened: Open
) -> None:
    sink = opened(elasticsearch_server.url, namespace)
    assert sink.write([alert("a", detector={"score": float("nan")})]).created == 1
    (hit,) = _found(real, sink.stream, {"match_all": {}})
    assert hit["_source"]["querywatch"]["detector"] == {"score": None}


def test_after_a_rollover_nothing_is_stored_twice(
    elasticsearch_server: ElasticsearchServer, real: Elasticsearch, namespace: str, opened: Open
) -> None:
    sink = opened(elasticsearch_server.url, namespace)
    sink.write([alert("a"), alert("b")])
    real.indices.rollover(alias=sink.stream)
    again = opened(elasticsearch_server.url, namespace).write([alert("a"), alert("b"), alert("c")])
    assert (again.created, again.duplicates) == (1, 2)
    # Also for a sink that was open all the time: the partition may have come from a member that was killed.
    assert (sink.write([alert("a")]).created, sink.write([alert("c")]).created) == (0, 0)
    assert len(_found(real, sink.stream, {"match_all": {}})) == 3


def test_an_answer_that_never_arrives_stores_nothing_twice(
    elasticsearch_server: ElasticsearchServer, real: Elasticsearch, namespace: str, opened: Open
) -> None:
    with FakeElasticsearch(elasticsearch_server.url, cut_after=1) as between:
        sink = opened(between.url, namespace)
        delivery = sink.write([alert("a"), alert("b")])
        assert delivery.created + delivery.duplicates == 2
        assert len(_found(real, sink.stream, {"match_all": {}})) == 2
        sink.close()


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
    one = alert(f"replayed-{namespace}")
    assert sink.write([one]).created == 1
    (hit,) = _found(real, sink.stream, {"ids": {"values": [one.id]}})
    assert hit["_source"]["event"]["kind"] == kind
    assert hit["_source"]["data_stream"]["namespace"] == sink.stream.rpartition("-")[2]


def test_without_the_template_nothing_is_written(
    elasticsearch_server: ElasticsearchServer, real: Elasticsearch, namespace: str, opened: Open
) -> None:
    sink = opened(elasticsearch_server.url, namespace)
    # Another template of higher priority takes the name, and makes plain indices.
    name = f"plain-{namespace}"
    real.indices.put_index_template(name=name, index_patterns=[sink.stream], priority=900, template={})
    try:
        with pytest.raises(SinkNotReady, match="no data stream"):
            sink.write([alert("a")])
        assert not real.indices.exists(index=sink.stream)
        real.indices.create(index=sink.stream)
        with pytest.raises(SinkNotReady, match="plain index"):
            opened(elasticsearch_server.url, namespace)
        real.indices.delete(index=sink.stream)
    finally:
        real.indices.delete_index_template(name=name)
    assert sink.write([alert("a")]).created == 1


def test_check_names_the_cluster(elasticsearch_server: ElasticsearchServer) -> None:
    said = check(Settings(hosts=(elasticsearch_server.url,)))
    assert said.startswith(
        f"Elasticsearch at {elasticsearch_server.url}: cluster 'querywatch-tests', version 9."
    )
