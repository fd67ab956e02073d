"""What happens to a topic: recreated, more partitions, records gone by retention."""

from __future__ import annotations

import json
from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition

from benchmarks.faults.account import Account, Alerts
from benchmarks.faults.site import Site
from detector import profile
from detector.config import Config
from detector.edge import make_decoder, settings_of
from detector.pipeline import Shard
from detector.query import RawBatch

END_OF_TIME = 4e9


def recreated(site: Site, queries: list[dict[str, Any]], *, while_it_runs: bool) -> Account:
    """A third of the records, the topic deleted and made again, the rest: both are told completely.

    The second topic holds more records than were read of the first, so that no offset tells it apart.
    """
    account = Account(
        "topic deleted and recreated " + ("while it is read" if while_it_runs else "between two runs")
    )
    part = len(queries) // 3
    topic = site.topic(queries[:part], partitions=2)
    detector = site.detector(topic)
    try:
        member = detector.start()
        detector.catch_up(member)
        if not while_it_runs:
            member.stop()
        read = site.ends(topic)
        expected = dict(_told(site, _records(site, topic)))
        site.kafka.recreate_topic(topic, 2)
        site.produce(topic, queries[part:])
        expected |= dict(_told(site, _records(site, topic)))
        account.note(f"ends of the two topics: {read}, {site.ends(topic)}")
        if not while_it_runs:
            member = detector.start()
        member.wait_for("degraded: sessions are rebuilt from the log; those that began earlier are cut")
        detector.finish(member)
        _demand_event(account, member.said(), "degraded", "recreated")
        account.demand("state-rebuilt" in detector.self_alerts(), "no self-alert says that it began anew")
    finally:
        detector.close()
    account.compare_alerts(detector.alerts(), sorted(expected.items()))
    return account


def partitions_added(site: Site, queries: list[dict[str, Any]]) -> Account:
    """Two partitions become four while the detector runs; the new ones are read from their start."""
    account = Account("two partitions added while it runs")
    half = len(queries) // 2
    topic = site.topic(queries[:half], partitions=2)
    detector = site.detector(topic, settings="[pipeline]\nbatch_queries = 500\n")
    try:
        member = detector.start()
        member.wait_for("saved")
        admin = KafkaAdminClient(bootstrap_servers=site.kafka.bootstrap)
        admin.create_partitions({topic: 4})
        admin.close()
        site.produce(topic, queries[half:])
        detector.finish(member)
    finally:
        detector.close()
    account.note(f"records by partition: {site.ends(topic)}")
    account.compare_alerts(detector.alerts(), _told(site, _records(site, topic)))
    return account


def gone_by_retention(site: Site, queries: list[dict[str, Any]]) -> Account:
    """Records are deleted while the detector is away: it goes on behind them, and says how many."""
    account = Account("records deleted before they were read")
    third = len(queries) // 3
    topic = site.topic(queries[:third], partitions=2)
    detector = site.detector(topic)
    try:
        detector.finish(detector.start())
        read = {p: offset for p, (offset, _) in detector.states().items()}
        site.produce(topic, queries[third:])
        everything = _records(site, topic)
        gone = {p: read[p] + (len(values) - read[p]) // 2 for p, values in everything.items()}
        _delete_records(site, topic, gone)
        member = detector.start()
        detector.finish(member)
        _demand_event(account, member.said(), "records were deleted by retention", "")
    finally:
        detector.close()
    account.note(f"read {read}, deleted below {gone}")
    left = {p: [(n, v) for n, v in values if n < read[p] or n >= gone[p]] for p, values in everything.items()}
    account.compare_alerts(detector.alerts(), _told(site, left))
    return account


def _demand_event(account: Account, said: list[dict[str, Any]], event: str, why: str) -> None:
    found = [e for e in said if e["event"].startswith(event) and why in str(e.get("why", ""))]
    account.demand(bool(found), f"the log does not say {event!r} {why!r}")


def _told(site: Site, records: dict[int, list[tuple[int, bytes]]]) -> Alerts:
    """What one shard a partition tells of these records, without any service."""
    profiles = {} if site.learn else profile.load(site.profile)
    told = []
    for partition, values in records.items():
        shard = Shard(
            settings_of(Config(sessions=site.sessions), learn=site.learn), profiles, "topic", partition
        )
        batch = RawBatch("topic", partition, [v for _, v in values], [n for n, _ in values], END_OF_TIME)
        for alert in shard.process(make_decoder(Config()).decode(batch)[0]).alerts:
            document = json.loads(alert.to_json())
            del document["_id"], document["data_stream"]["namespace"]
            told.append((alert.id, document))
    return sorted(told, key=lambda item: item[0])


def _records(site: Site, topic: str) -> dict[int, list[tuple[int, bytes]]]:
    """Offset and value of every record, by partition."""
    ends = site.ends(topic)
    consumer = KafkaConsumer(bootstrap_servers=site.kafka.bootstrap, auto_offset_reset="earliest")
    try:
        consumer.assign([TopicPartition(topic, p) for p in ends])
        found: dict[int, list[tuple[int, bytes]]] = {p: [] for p in ends}
        while sum(map(len, found.values())) < sum(ends.values()):
            for tp, records in consumer.poll(timeout_ms=500).items():
                found[tp.partition] += [(record.offset, record.value) for record in records]
        return found
    finally:
        consumer.close()


def _delete_records(site: Site, topic: str, below: dict[int, int]) -> None:
    admin = KafkaAdminClient(bootstrap_servers=site.kafka.bootstrap)
    try:
        admin.delete_records({TopicPartition(topic, p): offset for p, offset in below.items()})
    finally:
        admin.close()
