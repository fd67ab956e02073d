"""An upgrade in the middle of a run, and a rollback: every attack is told, and none twice.

The releases need not agree on how they judge, so what is compared is who was told of, and how often.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from benchmarks.faults.account import Account
from benchmarks.faults.damage import REBUILT, UNUSABLE
from benchmarks.faults.site import ROOT, Detector, Site, command


def up_and_back(site: Site, topic: str, undisturbed: Detector, before: Path) -> Account:
    """`before` is a checkout of the other release, which reads the first and the last third of the topic."""
    account = Account("upgrade from another release, and back to it")
    total = sum(site.ends(topic).values())
    detector = site.detector(topic, settings="[pipeline]\nbatch_queries = 500\n")
    profile = site.folder / "before.qwp"
    command(site.folder, "fit", "history.ndjson", "--profile", str(profile), root=before)
    config = detector.config.with_name("before.toml")
    config.write_text(detector.config.read_text().replace(str(site.profile), str(profile)))
    try:
        for third, (root, its) in enumerate(((before, config), (ROOT, detector.config), (before, config))):
            member = detector.start(root, its)
            if third == 2:
                detector.finish(member)
            else:
                detector.reach(total * (third + 1) // 3, member)
                member.stop()
            events = Counter(event["event"] for event in member.said())
            account.note(
                f"{'another' if root == before else 'this'} release, {detector.progress()} of {total} saved"
                f": {events[UNUSABLE]} state files refused, {events[REBUILT]} partitions rebuilt"
            )
    finally:
        detector.close()
    kept = sorted({path.name.partition(".state.")[2] for path in detector.state.glob("*.state.version-*")})
    account.note(f"kept beside the states: {', '.join(kept)}")
    account.demand(bool(kept), "no state of another release is kept")
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


def _client(document: dict[str, object]) -> str:
    user = document.get("user")
    return str(user["id"]) if isinstance(user, dict) else "several"


def _is_first(document: dict[str, object]) -> bool:
    event = document["event"]
    return isinstance(event, dict) and event["kind"] == "alert"
