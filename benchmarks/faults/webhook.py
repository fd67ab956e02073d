"""A webhook beside Elasticsearch that is dead, full, killed beside, or answers with faults."""

from __future__ import annotations

import json
import time
from collections import Counter
from functools import partial
from typing import Any

from benchmarks.faults.account import Account
from benchmarks.faults.outages import SMALL_BATCHES
from benchmarks.faults.site import Detector, Member, Site, command, wait
from connectors.sqlite import read_dead_letters
from detector.self_alert import ENTITY
from tests.connectors.webhook_receiver import Answer, Receiver, Request

Stored = tuple[str, dict[str, Any]]
"""Id and document."""
PATIENT = "hold_back_seconds = 0.0\n"
ROUND = {
    "503": Answer(503),
    "429, Retry-After of 1 s": Answer(429, headers={"Retry-After": "1"}),
    "cut after it was read": Answer(cut=True),
    "redirect": Answer(307, headers={"Location": "http://127.0.0.1:9/"}),
    "no answer within the timeout": Answer(seconds=1.0),
    "403": Answer(403),
}
"""What a faulty receiver answers, each followed by alerts that it takes."""
FAULT_EVERY, REFUSED_EVERY = 7, 40
"""One in so many requests meets a fault; one in so many alerts is refused for its content."""


def dead_webhook(site: Site, topic: str, undisturbed: Detector) -> Account:
    """Dead from the start until Elasticsearch has every alert; then it is there, and catches up."""
    account = Account("a webhook that is dead until Elasticsearch has every alert")
    expected = len(undisturbed.alerts())
    with Receiver() as live:
        detector = _detector(site, topic, live.url, PATIENT)
        try:
            member = detector.start()
            seconds = _seconds_until_stored(detector, member, expected)
            detector.finish(member)
        finally:
            detector.close()
        account.note(f"with a webhook that is up, Elasticsearch has all {seconds:.0f} s after the start")
        account.compare_alerts(_about_clients(live), undisturbed.alerts())
    # Its port refuses connections from now on.
    detector = _detector(site, topic, live.url, PATIENT)
    try:
        member = detector.start()
        seconds = _seconds_until_stored(detector, member, expected)
        account.note(f"with one that is dead, {seconds:.0f} s after")
        wait(lambda: "sink-down" in detector.self_alerts(), member.alive, "the self-alert sink-down")
        saved, total = detector.progress(), sum(site.ends(topic).values())
        account.note(f"{saved} of {total} records are saved: those before the first alert")
        account.demand(saved < total // 2, "state was saved before the webhook had its alerts")
        began = time.monotonic()
        with Receiver(port=live.port) as back:
            detector.finish(member)
            account.note(f"back, it has caught up and all is saved {time.monotonic() - began:.0f} s later")
        account.compare(detector, undisturbed)
        account.compare_alerts(_about_clients(back), undisturbed.alerts())
    finally:
        detector.close()
    return account


def full_queue(site: Site, topic: str, undisturbed: Detector, queue: int = 20) -> Account:
    """An optional webhook with room for `queue` alerts is dead for a whole run; then they are resent."""
    account = Account(f"an optional webhook that is dead for a whole run, with room for {queue} alerts")
    bounds = f'optional = ["webhook"]\nqueue_alerts = {queue}\nhold_back_seconds = 2.0\n'
    with Receiver() as gone:
        pass
    detector = _detector(site, topic, gone.url, bounds)
    try:
        member = detector.start()
        detector.catch_up(member)
        paused = [event for event in member.said() if event["event"] == "reading is paused"]
        others = [event["why"] for event in paused if "webhook" in event["why"]]
        account.demand(not others, f"reading was paused for the webhook: {others[:1]}")
        member.stop()
        account.compare(detector, undisturbed)
        letters = read_dead_letters(detector.folder / "querywatch.sqlite", ("sink_down",))
        account.note(f"{len(letters)} alerts for it, self-alerts too, are dead letters; reading never paused")
        with Receiver(port=gone.port) as back:
            said = command(detector.folder, "resend", "--config", str(detector.config))
        account.note("resend: " + "; ".join(said.splitlines()))
        account.compare_alerts(_about_clients(back), undisturbed.alerts())
    finally:
        detector.close()
    return account


def faulty_webhook(site: Site, topic: str, undisturbed: Detector, kills: int = 2) -> Account:
    """The receiver fails in turns, refuses some alerts, and the detector is killed `kills` times."""
    account = Account(
        f"a webhook that fails in {len(ROUND)} ways and refuses some alerts, and {kills} kill -9"
    )
    met: Counter[str] = Counter()
    seen: Counter[str] = Counter()

    def act(request: Request) -> Answer:
        (document,) = request.documents
        seen[document["_id"]] += 1
        if seen.total() % FAULT_EVERY == 0:
            what = list(ROUND)[met.total() % len(ROUND)]
            met[what] += 1
            return ROUND[what]
        return Answer(422, b"refused") if _is_refused(_plain(document)) else Answer()

    with Receiver(act) as receiver:
        detector = _detector(site, topic, receiver.url, PATIENT, "timeout_seconds = 0.5\n")
        try:
            for n in range(kills):
                member = detector.start()
                wait(partial(_more_than, seen, (n + 1) * 30), member.alive, "alerts at the webhook")
                member.kill()
                site.give_up_members(detector.name)
            detector.finish(detector.start())
        finally:
            detector.close()
    account.note(", ".join(f"{count} × {name}" for name, count in met.items()))
    account.demand(len(met) == len(ROUND), f"only {len(met)} of the faults were met")
    letters = read_dead_letters(detector.folder / "querywatch.sqlite", ("rejected_by_sink",))
    refused = [_plain(json.loads(letter.raw)) for letter in letters]
    account.note(f"{len(refused)} alerts refused for their content are dead letters")
    account.note(f"{seen.total() - len(seen)} requests brought an alert that had been sent before")
    account.demand(
        sorted(name for name, _ in refused) == [one[0] for one in undisturbed.alerts() if _is_refused(one)],
        "dead letters are not the refused alerts",
    )
    account.compare(detector, undisturbed)
    # One whose refusal was cut off, or too late, was read and is not kept.
    kept = [one for one in _about_clients(receiver) if not _is_refused(one)]
    account.compare_alerts([*kept, *refused], undisturbed.alerts())
    return account


def _detector(site: Site, topic: str, url: str, sinks: str, webhook: str = "") -> Detector:
    """With the webhook at `url` beside Elasticsearch; it tells of a dead one after a second."""
    settings = f'{SMALL_BATCHES}[sinks]\n{sinks}[webhook]\nurl = "{url}"\n{webhook}'
    detector = site.detector(topic, settings=settings)
    config = detector.config.read_text().replace("port = 0\n", "port = 0\nsink_down_seconds = 1.0\n")
    detector.config.write_text(config)
    return detector


def _seconds_until_stored(detector: Detector, member: Member, alerts: int) -> float:
    """From now until Elasticsearch holds so many."""
    began = time.monotonic()
    wait(lambda: len(detector.alerts()) >= alerts, member.alive, f"{alerts} alerts in Elasticsearch")
    return time.monotonic() - began


def _more_than(seen: Counter[str], count: int) -> bool:
    return len(seen) > count


def _plain(document: dict[str, Any]) -> Stored:
    """Id and document as those that Elasticsearch holds are compared."""
    name = document.pop("_id")
    del document["data_stream"]["namespace"]
    return name, document


def _about_clients(receiver: Receiver) -> list[Stored]:
    """What the receiver has, each once by id, without the detector's alerts about itself."""
    found = [_plain({"_id": one.id, **one.document}) for one in receiver.alerts]
    return [one for one in found if not _is_about_us(one)]


def _is_about_us(one: Stored) -> bool:
    return bool(one[1]["querywatch"]["entity"]["kind"] == ENTITY)


def _is_refused(one: Stored) -> bool:
    return not _is_about_us(one) and int(one[0], 16) % REFUSED_EVERY == 0
