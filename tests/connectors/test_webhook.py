"""Alerts by POST to a real HTTP server: what it is sent, and what each of its answers means."""

from __future__ import annotations

import base64
import email.utils
import hashlib
import hmac
import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.webhook import ANSWER_BYTES, BATCH_BYTES, LONGEST_WAIT, REMEMBERED, WebhookSink, check
from connectors.webhook_request import CHECK_ID, Format, request_id
from detector.alert import Alert
from detector.config import Webhook
from detector.errors import SinkError, SinkNotReady, SinkUnavailable
from tests.connectors.webhook_receiver import Answer, Receiver, Request

KEY = b"a key of twenty-four byt"
SIGNING_KEY = "whsec_" + base64.b64encode(KEY).decode()
NOW = 1_796_000_000.9


def alert(number: int, **more: Any) -> Alert:
    document = {
        "@timestamp": "2026-11-24T10:15:42.118Z",
        "event": {"id": "episode", "sequence": number, "kind": "alert"},
        "user": {"id": "schlüssel \u202e\n<b>"},
        **more,
    }
    return Alert(f"{number:040x}", document, number)


ALERTS = [alert(n) for n in range(7)]


def opened(receiver: Receiver, **options: Any) -> WebhookSink:
    sink = WebhookSink(Webhook(**{"url": receiver.url, "timeout_seconds": 5.0, **options}), now=lambda: NOW)
    sink.open()
    return sink


def test_an_alert_is_one_json_object_with_its_id_as_key_and_signed() -> None:
    golden = json.loads(Path("tests/data/alert.json").read_text("utf-8"))
    name = golden.pop("_id")
    with Receiver() as receiver:
        sink = opened(receiver, signing_key=SIGNING_KEY, token="marked-token")
        assert sink.write([Alert(name, golden, 7)]).created == 1
        sink.close()
    (request,) = receiver.requests
    expected = json.loads(Path("tests/data/webhook.json").read_text("utf-8"))
    headers = {key: text for key, text in request.headers.items() if key not in {"Host", "Content-Length"}}
    assert {"path": request.path, "headers": headers, "body": request.body.decode()} == expected
    signed = f"{name}.{int(NOW)}.".encode() + request.body
    signature = base64.b64encode(hmac.new(KEY, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{signature}"
    assert request.documents == [{"_id": name, **golden}]
    (greeting,) = receiver.greeted
    assert (greeting.method, greeting.body, greeting.headers["webhook-id"]) == ("OPTIONS", b"", CHECK_ID)
    assert greeting.headers["Authorization"] == "Bearer marked-token"


def test_the_signature_is_that_of_the_published_example() -> None:
    # The example of the specification of Standard Webhooks.
    key = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    sink = WebhookSink(Webhook(url="http://a", signing_key=key))
    headers = sink._requests.headers("msg_p5jXN8AQM9LWM0D4loKWxJek", b'{"test": 2432232314}', 1614265330)
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize(("form", "sizes"), [("json", [1] * 7), ("array", [3, 3, 1]), ("ndjson", [3, 3, 1])])
def test_several_alerts_are_sent_as_the_format_says(form: Format, sizes: list[int]) -> None:
    with Receiver() as receiver:
        sink = opened(receiver, format=form, batch_alerts=3)
        assert sink.most_at_once == (1 if form == "json" else 3)
        assert sink.write(ALERTS).created == 7
        sink.close()
    assert [len(request.documents) for request in receiver.requests] == sizes
    assert [found.document for found in receiver.alerts] == [a.document for a in ALERTS]
    assert len({request.peer for request in receiver.requests}) == 1, "one connection does for all"
    keys = [request.headers["Idempotency-Key"] for request in receiver.requests]
    assert len(set(keys)) == len(sizes)
    assert keys[-1] == ALERTS[6].id
    assert keys[0] == request_id(ALERTS[: sizes[0]])
    media = "application/x-ndjson" if form == "ndjson" else "application/json"
    assert {request.headers["Content-Type"] for request in receiver.requests} == {media}


def test_a_request_has_a_million_bytes_at_most_unless_one_alert_has_more() -> None:
    large = [
        alert(n, padding="x" * size) for n, size in enumerate([BATCH_BYTES // 2 - 500] * 3 + [2_000_000, 1])
    ]
    with Receiver() as receiver:
        sink = opened(receiver, format="array")
        assert sink.write(large).created == 5
        sink.close()
    assert [len(request.documents) for request in receiver.requests] == [2, 1, 1, 1]


@pytest.mark.parametrize(
    ("options", "header", "value"),
    [
        ({"token": "t0"}, "Authorization", "Bearer t0"),
        ({"token": "t0", "scheme": "Splunk"}, "Authorization", "Splunk t0"),
        ({"token": "t0", "scheme": "", "header": "X-API-Key"}, "X-API-Key", "t0"),
        ({"username": "u", "password": "p:q"}, "Authorization", "Basic dTpwOnE="),
        ({}, "Authorization", None),
    ],
)  # fmt: skip
def test_credentials_stand_in_one_header(options: dict[str, str], header: str, value: str | None) -> None:
    with Receiver() as receiver:
        sink = opened(receiver, **options)
        sink.write(ALERTS[:1])
        sink.close()
    assert receiver.requests[0].headers.get(header) == value


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 599])
def test_a_receiver_that_is_busy_is_asked_again_later(status: int) -> None:
    with Receiver() as receiver:
        sink = opened(receiver)
        receiver.script = [Answer(), Answer(status, b"busy", {"Retry-After": "17"})]
        with pytest.raises(SinkUnavailable, match=f"answers {status}: busy$") as caught:
            sink.write(ALERTS)
        assert caught.value.retry_after == 17.0
        done = sink.write(ALERTS)
        assert (done.created, done.duplicates) == (6, 1)
        sink.close()
    assert receiver.alerts == [Alert(a.id, a.document, n) for n, a in enumerate(ALERTS)]
    assert len(receiver.requests) == 8


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("3", 3.0), (None, 0.0), ("-1", 0.0), ("soon", 0.0), ("9" * 400, LONGEST_WAIT), ("86400", LONGEST_WAIT),
     ("date", 100.0), ("Mon, 99 Foo 99999 99:99:99", 0.0)],
)  # fmt: skip
def test_how_long_a_receiver_asks_to_be_left_alone(text: str | None, seconds: float) -> None:
    if text == "date":
        text = email.utils.formatdate(time.time() + 100, usegmt=True)
    headers = {} if text is None else {"Retry-After": text}
    with Receiver(lambda request: Answer(429, b"", headers)) as receiver:
        sink = opened(receiver)
        with pytest.raises(SinkUnavailable) as caught:
            sink.write(ALERTS[:1])
        sink.close()
    assert caught.value.retry_after == pytest.approx(seconds, abs=5.0 if seconds == 100.0 else 0.0)


@pytest.mark.parametrize("status", [400, 409, 413, 418, 422])
def test_what_is_refused_for_its_content_comes_back_and_the_others_are_stored(status: int) -> None:
    def act(request: Request) -> Answer:
        bad = {ALERTS[2].id, ALERTS[5].id} & {document["_id"] for document in request.documents}
        return Answer(status, b"cannot read\x1b[31m this") if bad else Answer()

    with Receiver(act) as receiver:
        sink = opened(receiver, format="ndjson")
        done = sink.write(ALERTS)
        sink.close()
    assert (done.created, done.duplicates) == (5, 0)
    assert [(e.reason, e.source, e.raw, e.offset) for e in done.rejected] == [
        ("rejected_by_sink", "webhook", ALERTS[n].to_json(), n) for n in (2, 5)
    ]
    assert done.rejected[0].detail == (
        f"the webhook refused alert {ALERTS[2].id}: http://127.0.0.1:{receiver.port} answers {status}: "
        "cannot read [31m this"
    )
    assert [found.id for found in receiver.alerts] == [ALERTS[n].id for n in (0, 1, 3, 4, 6)]


@pytest.mark.parametrize(
    ("status", "advice"),
    [(401, "check webhook.token"), (403, "check webhook.token"), (404, "check the path"), (405, "the path"),
     (407, "answers 407"), (410, "the path"), (415, "check webhook.format"), (301, "put the address itself"),
     (307, "redirects are not followed")],
)  # fmt: skip
def test_what_a_person_must_mend(status: int, advice: str) -> None:
    with Receiver() as elsewhere, Receiver() as receiver:
        sink = opened(receiver, token="marked-token")
        receiver.script = [Answer(status, b"", {"Location": elsewhere.url})]
        with pytest.raises(SinkNotReady, match=advice):
            sink.write(ALERTS[:1])
        assert (elsewhere.requests, elsewhere.greeted) == ([], [])
        assert sink.write(ALERTS[:1]).created == 1
        sink.close()


def test_an_alert_whose_answer_is_lost_is_sent_again_under_the_same_id() -> None:
    with Receiver() as receiver:
        sink = opened(receiver)
        receiver.script = [Answer(cut=True)]
        with pytest.raises(SinkUnavailable, match="no answer from http://127"):
            sink.write(ALERTS[:2])
        assert sink.write(ALERTS[:2]).created == 2
        sink.close()
    first, again, _ = receiver.requests
    assert first.headers["webhook-id"] == again.headers["webhook-id"] == ALERTS[0].id
    assert first.body == again.body
    assert [found.id for found in receiver.alerts] == [a.id for a in ALERTS[:2]]


def test_after_a_restart_the_receiver_tells_repeats_by_their_ids() -> None:
    with Receiver() as receiver:
        for _ in range(2):
            sink = opened(receiver)
            assert sink.write(ALERTS).created == 7
            assert sink.write(ALERTS).duplicates == 7
            sink.close()
    assert len(receiver.requests) == 14
    assert len(receiver.alerts) == 7


@settings(max_examples=50)
@given(
    st.lists(st.sampled_from(["ok", "busy", "cut", "refuse", "mend"]), max_size=25),
    st.sampled_from(["json", "array", "ndjson"]),
)
def test_whatever_it_answers_each_alert_is_taken_or_comes_back(script: list[str], form: Format) -> None:
    answers = {
        "ok": Answer(),
        "busy": Answer(503),
        "cut": Answer(cut=True),
        "refuse": Answer(422),
        "mend": Answer(403),
    }
    refused: set[str] = set()
    with Receiver() as receiver:
        sink = opened(receiver, format=form, batch_alerts=3)
        receiver.script = [answers[word] for word in script]
        for _ in range(len(script) + 1):
            try:
                done = sink.write(ALERTS)
            except SinkError:
                continue
            refused |= {letter.raw.decode() for letter in done.rejected}
            assert done.created + done.duplicates + len(done.rejected) == len(ALERTS)
            break
        sink.close()
    taken = {found.id for found in receiver.alerts}
    assert {a.id for a in ALERTS} == taken | {json.loads(text)["_id"] for text in refused}
    assert len([w for w in script if w == "refuse"]) >= len(refused)


def test_what_it_remembers_is_bounded() -> None:
    many = [alert(n) for n in range(REMEMBERED + 50)]
    with Receiver() as receiver:
        sink = opened(receiver, format="ndjson", batch_alerts=1000)
        sink.write(many)
        assert len(sink._taken) == REMEMBERED
        assert sink.write(many[50:]).duplicates == REMEMBERED
        sink.close()


@pytest.mark.parametrize(
    "answer",
    [Answer(body=b"x" * 5_000_000), Answer(status=422, body=b"x" * 5_000_000),
     Answer(body=b"x" * ANSWER_BYTES, drip=0.05), Answer(seconds=30.0)],
)  # fmt: skip
def test_an_answer_that_is_long_or_slow_costs_little(answer: Answer) -> None:
    with Receiver() as receiver:
        sink = opened(receiver, timeout_seconds=0.3)
        receiver.script = [answer]
        began = time.monotonic()
        if answer.seconds:
            with pytest.raises(SinkUnavailable, match="timed out"):
                sink.write(ALERTS[:1])
        else:
            done = sink.write(ALERTS[:1])
            assert done.created + len(done.rejected) == 1
            assert all(len(letter.detail) < 500 for letter in done.rejected)
        assert time.monotonic() - began < 10.0
        assert sink.write(ALERTS[1:2]).created == 1
        sink.close()


def test_secrets_that_a_receiver_sends_back_are_not_told() -> None:
    def echo(request: Request) -> Answer:
        return Answer(400, f"{request.headers['Authorization']} at {request.path}?k".encode())

    with Receiver(echo) as receiver:
        for options in ({"token": "marked-token"}, {"username": "u", "password": "marked-word"}):
            sink = opened(receiver, **options)
            (letter,) = sink.write(ALERTS[:1]).rejected
            sink.close()
            assert "/hooks/***" in letter.detail
            for secret in ("marked", base64.b64encode(b"u:marked-word").decode()):
                assert secret not in letter.detail


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"url": ""}, "webhook.url is empty"),
        ({"url": "soar.example/marked"}, "write it as https://host/path"),
        ({"url": "ftp://soar.example/marked"}, "cannot be used"),
        ({"url": "https://:443/marked"}, "cannot be used"),
        ({"url": "https://host:marked"}, "cannot be used"),
        ({"url": "https://u:marked@host/"}, "webhook.url holds credentials"),
        ({"url": "http://host/a\nmarked"}, "cannot be used"),
        ({"token": "marked\r\nX-Other: 1"}, "line breaks"),
        ({"token": "marked", "username": "u"}, "both set"),
        ({"token": "marked", "header": "no header"}, "no name of a header"),
        ({"signing_key": "whsec_marked!"}, "is not whsec_ and base64"),
        ({"url": "http://host/marked", "ca_file": "ca.pem"}, "webhook.url is not https"),
        ({"ca_file": "/absent/ca.pem"}, "webhook.ca_file cannot be used: No such file"),
        ({"key_file": "/absent/key.pem"}, "but not webhook.certificate_file"),
    ],
)
def test_settings_that_cannot_be_right_are_told_without_secrets(
    options: dict[str, Any], problem: str
) -> None:
    with pytest.raises(SinkNotReady, match=problem) as caught:
        WebhookSink(Webhook(**{"url": "https://127.0.0.1:1/hook", **options})).open()
    assert "marked" not in str(caught.value)


def test_writing_before_opening_is_not_ready() -> None:
    with pytest.raises(SinkNotReady, match="not open"):
        WebhookSink(Webhook(url="http://127.0.0.1:1")).write(ALERTS)


@pytest.mark.parametrize("status", [200, 204, 400, 403, 404, 405, 500, 501])
def test_check_and_opening_take_any_answer_for_a_sign_of_life(status: int) -> None:
    with Receiver(greeting=Answer(status, b"")) as receiver:
        opened(receiver).close()
        said = check(Webhook(url=receiver.url))
    assert said.startswith(f"http://127.0.0.1:{receiver.port} answers ({status} to OPTIONS)")
    assert "it is not encrypted" in said
    assert receiver.requests == []


@pytest.mark.parametrize(("status", "problem"), [(401, "check webhook.token"), (308, "redirects")])
def test_who_is_not_known_or_is_sent_elsewhere_is_told_at_once(status: int, problem: str) -> None:
    with Receiver(greeting=Answer(status, b"")) as receiver, pytest.raises(SinkNotReady, match=problem):
        check(Webhook(url=receiver.url))


def test_nobody_there() -> None:
    with Receiver() as receiver:
        gone = receiver.url
    with pytest.raises(SinkUnavailable, match=r"no answer from .*ConnectionRefusedError") as caught:
        check(Webhook(url=gone))
    assert "marked" not in str(caught.value)
