"""The Elasticsearch sink against answers that a healthy cluster does not give."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator

import pytest

from connectors.elasticsearch import ElasticsearchSink, check
from detector.config import Elasticsearch as Settings
from detector.errors import SinkNotReady, SinkUnavailable
from tests.connectors.elasticsearch_alerts import Open, alert
from tests.connectors.fake_elasticsearch import Act, Answer, FakeElasticsearch, cut, items, status


@pytest.fixture
def fake() -> Iterator[FakeElasticsearch]:
    with FakeElasticsearch() as server:
        yield server


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
    assert opened(fake.url).write([alert("a")]).created == 1


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
    delivery = opened(fake.url).write([alert("a"), alert("b"), alert("c")])
    assert (delivery.created, delivery.duplicates, delivery.rejected) == (3, 0, ())
    assert fake.bulks == [["a", "b", "c"], ["b", "c"], ["b"]]


@pytest.mark.parametrize("trouble", [status(429), status(503), status(502), cut()])
def test_a_request_that_fails_is_sent_again(fake: FakeElasticsearch, opened: Open, trouble: Act) -> None:
    fake.script = [trouble, trouble]
    delivery = opened(fake.url).write([alert("a"), alert("b")])
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
    delivery = sink.write([alert("a"), alert("b")])
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
            sink.write([alert("a")])
        assert time.monotonic() - began < 5.0
        fake.script = [items({})]
        assert sink.write([alert("a")]).created == 1
        sink.close()


def test_a_chunk_that_is_too_large_is_halved_and_a_document_that_is_stays_a_dead_letter(opened: Open) -> None:
    def at_most_two(ids: list[str]) -> Answer | None:
        return status(413)(ids) if len(ids) > 2 or "e" in ids else items({})(ids)

    with FakeElasticsearch(fallback=at_most_two) as fake:
        sink = opened(fake.url)
        delivery = sink.write([alert(name) for name in "abcdefg"])
        assert delivery.created == 6
        (letter,) = delivery.rejected
        assert letter.raw == alert("e").to_json()
        assert "larger than the cluster takes" in letter.detail
        taken = [bulk for bulk in fake.bulks if len(bulk) <= 2 and "e" not in bulk]
        assert sorted(name for bulk in taken for name in bulk) == list("abcdfg"), (
            "each is sent in one request"
        )
        sink.close()


def test_the_failure_store_is_not_a_delivery(fake: FakeElasticsearch, opened: Open) -> None:
    fake.script = [items({}, failure_store="used", _index=".fs-test-000001")]
    delivery = opened(fake.url).write([alert("a")])
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
        opened(fake.url).write([alert("a")])
    assert len(fake.bulks) == 1


def test_a_plain_index_is_told(fake: FakeElasticsearch, opened: Open) -> None:
    fake.script = [items({}, _index="logs-querywatch.alerts-default")]
    with pytest.raises(SinkNotReady, match="plain index"):
        opened(fake.url).write([alert("a")])


def test_an_empty_write_sends_nothing_and_a_closed_sink_says_so(
    fake: FakeElasticsearch, opened: Open
) -> None:
    sink = opened(fake.url)
    assert sink.write([]).created == 0
    assert fake.bulks == []
    sink.close()
    with pytest.raises(SinkNotReady, match="before open"):
        sink.write([alert("a")])
