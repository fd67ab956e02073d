"""The short form of the soak: kills, rollovers and a faulty cluster change no alert and no saved state."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from benchmarks.faults.account import Account
from benchmarks.faults.kills import kill_at_random_moments
from benchmarks.faults.log import make_queries
from benchmarks.faults.outages import faulty_cluster
from benchmarks.faults.site import Detector, Site
from tests.servers.elasticsearch import ElasticsearchServer
from tests.servers.kafka import KafkaServer

pytestmark = [pytest.mark.servers, pytest.mark.timeout(900)]
RECORDS, KILLS = 20_000, 3


@pytest.fixture(scope="module")
def site(
    tmp_path_factory: pytest.TempPathFactory,
    kafka_server: KafkaServer,
    elasticsearch_server: ElasticsearchServer,
) -> Site:
    return Site(tmp_path_factory.mktemp("faults"), kafka_server, elasticsearch_server)


@pytest.fixture(scope="module")
def undisturbed(site: Site) -> Iterator[Detector]:
    """A run over the records with nothing in the way."""
    detector = site.detector(site.topic(make_queries(RECORDS, seed=1)))
    detector.undisturbed()
    assert len({document["user"]["id"] for _, document in detector.alerts()}) >= 5
    yield detector
    detector.close()


def test_killed_at_random_moments_across_rollovers(site: Site, undisturbed: Detector) -> None:
    account = kill_at_random_moments(site, undisturbed.topic, undisturbed, KILLS, roll_over=True)
    assert account.well, "\n".join(account.lines())


def test_a_cluster_that_fails_in_seven_ways(site: Site, undisturbed: Detector) -> None:
    account = faulty_cluster(site, undisturbed.topic, undisturbed)
    assert account.well, "\n".join(account.lines())


def test_an_account_tells_what_is_lost_doubled_and_different() -> None:
    account = Account("part")
    expected = [("a", {"x": 1}), ("b", {"x": 2}), ("c", {"x": 3})]
    account.compare_alerts([("a", {"x": 1}), ("a", {"x": 1}), ("b", {"x": 9}), ("d", {})], expected)
    account.compare_states({0: (5, "digest")}, {0: (5, "digest"), 1: (6, "other")})
    said = "\n".join(account.lines())
    assert not account.well
    for words in ("1 alerts lost: c", "1 alerts doubled: a", "1 alerts foreign: d", "1 alerts different: b"):
        assert words in said
    assert "state of partition 1: None instead of (6, 'other')" in said
