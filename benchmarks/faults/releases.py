"""An upgrade in the middle of a run, and a rollback: every attack is told, and none twice.

Each release is started beside the one before it, in the same group, which may refuse it until that one has
stopped. The releases need not agree on how they judge, so what is compared is who was told of, and how often.
"""

from __future__ import annotations

import json
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.faults.account import Account
from benchmarks.faults.damage import REBUILT, UNUSABLE
from benchmarks.faults.site import ROOT, Detector, Member, Site, command, wait

REFUSED = "cannot read, trying again"


def up_and_back(site: Site, queries: list[dict[str, Any]], undisturbed: Detector, before: Path) -> Account:
    """`before` is a checkout of the other release, which reads the first third and the last."""
    account = Account("upgrade from another release, and back to it")
    portion = len(queries) // 3 + 1
    topic = site.topic()
    detector = site.detector(topic, settings="[pipeline]\nbatch_queries = 500\n")
    profile = site.folder / "before.qwp"
    command(site.folder, "fit", "history.ndjson", "--profile", str(profile), root=before)
    config = detector.config.with_name("before.toml")
    config.write_text(detector.config.read_text().replace(str(site.profile), str(profile)))
    versions: set[str] = set()
    try:
        for third, (root, its) in enumerate(((before, config), (ROOT, detector.config), (before, config))):
            member = detector.start(root, its)
            if third:
                wait(partial(_answered, member), member.alive, "a place in the group")
                refused = _refused(member)
                detector.members[-2].stop()
                account.note(f"{'refused until' if refused else 'in the group before'} the other had stopped")
            site.produce(topic, queries[third * portion : (third + 1) * portion])
            detector.catch_up(member)
            versions |= _versions(detector)
            events = Counter(event["event"] for event in member.said())
            account.note(
                f"{'another' if root == before else 'this'} release, {detector.progress()} of {len(queries)} "
                f"saved: {events[UNUSABLE]} state files refused, {events[REBUILT]} partitions rebuilt"
            )
        detector.members[-1].stop()
    finally:
        detector.close()
    kept = sorted({path.name.partition(".state.")[2] for path in detector.state.glob("*.state.version-*")})
    account.note(f"versions of states: {', '.join(sorted(versions))}; kept: {', '.join(kept) or 'none'}")
    account.demand(bool(kept) == (len(versions) > 1), "the state of another version is to be kept, no other")
    told = Counter(_client(document) for _, document in detector.alerts() if _is_first(document))
    expected = {_client(document) for _, document in undisturbed.alerts()}
    account.note(f"{len(expected)} attackers expected, {len(told)} told of, {sum(told.values())} alerts")
    for problem, names in (
        ("not told of", expected - told.keys()),
        ("told of without reason", told.keys() - expected),
        ("told of twice", {name for name, times in told.items() if times > 1}),
    ):
        account.demand(not names, f"{len(names)} clients {problem}: {', '.join(sorted(names)[:3])}")
    return account


def _answered(member: Member) -> bool:
    return _refused(member) or any("begins at offset" in event["event"] for event in member.said())


def _refused(member: Member) -> bool:
    return any(event["event"] == REFUSED for event in member.said())


def _versions(detector: Detector) -> set[str]:
    """Of the format of the header, and of the state, in what is saved."""
    headers = [json.loads(path.read_bytes().partition(b"\n")[0]) for path in detector.state.glob("*.state")]
    return {f"{header['format']}.{header.get('body', '')}" for header in headers}


def _client(document: dict[str, object]) -> str:
    user = document.get("user")
    return str(user["id"]) if isinstance(user, dict) else "several"


def _is_first(document: dict[str, object]) -> bool:
    event = document["event"]
    return isinstance(event, dict) and event["kind"] == "alert"
