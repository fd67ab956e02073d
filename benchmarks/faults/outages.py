"""Servers that stop, a cluster that answers with faults, a disk that is full: the run must end the same."""

from __future__ import annotations

import json
import resource
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.faults.account import Account
from benchmarks.faults.proxy import FaultyProxy
from benchmarks.faults.site import Detector, Site
from connectors.sqlite import read_dead_letters

SMALL_BATCHES = "[pipeline]\nbatch_queries = 200\n"
BROKER_SECONDS = 5.0
DISK_SECONDS = 5.0
DISK_MEGABYTES = 64


def broker_stops(site: Site, topic: str, undisturbed: Detector, times: int = 3) -> Account:
    """The broker is stopped and started again in the middle of a run, `times` times."""
    account = Account(f"broker stopped for {BROKER_SECONDS:.0f} s and started, {times} times")

    def stop_and_start() -> None:
        site.kafka.stop()
        time.sleep(BROKER_SECONDS)
        site.kafka.start()

    _run_with(site, topic, undisturbed, account, [stop_and_start] * times)
    return account


def elasticsearch_stops(site: Site, topic: str, undisturbed: Detector, seconds: float = 60.0) -> Account:
    """Elasticsearch is away for a while."""
    account = Account(f"Elasticsearch stopped for {seconds:.0f} s")

    def stop_and_start() -> None:
        site.elasticsearch.stop()
        time.sleep(seconds)
        site.elasticsearch.start()

    _run_with(site, topic, undisturbed, account, [stop_and_start])
    return account


def _run_with(
    site: Site, topic: str, undisturbed: Detector, account: Account, faults: list[Callable[[], None]]
) -> None:
    """Meet each fault after another share of the records, then finish."""
    total = sum(site.ends(topic).values())
    detector = site.detector(topic, settings=SMALL_BATCHES)
    try:
        member = detector.start()
        for n, fault in enumerate(faults):
            detector.reach(total * (n + 1) // (len(faults) + 2), member)
            fault()
            account.note(f"met with {detector.progress()} of {total} records saved")
        detector.finish(member)
    finally:
        detector.close()
    account.compare(detector, undisturbed)


def faulty_cluster(site: Site, topic: str, undisturbed: Detector) -> Account:
    """A proxy before the real cluster makes bulk requests fail, in seven ways."""
    account = Account("429, 503, cuts, mapping refusal, failure store before the real Elasticsearch")
    with FaultyProxy(site.elasticsearch.url) as proxy:
        detector = site.detector(topic, url=proxy.url, settings=SMALL_BATCHES)
        try:
            detector.finish(detector.start())
        finally:
            detector.close()
        account.note(", ".join(f"{count} × {name}" for name, count in proxy.met.items()))
        account.demand(len(proxy.met) == 7, f"only {len(proxy.met)} of the seven faults were met")
    refused = []
    for letter in read_dead_letters(detector.folder / "querywatch.sqlite"):
        document = json.loads(letter.raw)
        name = document.pop("_id")
        del document["data_stream"]["namespace"]
        refused.append((name, document))
    account.note(f"{len(refused)} alerts refused for their content are dead letters")
    account.demand({name for name, _ in refused} == proxy.refused, "dead letters are not the refused alerts")
    account.compare_alerts([*detector.alerts(), *refused], undisturbed.alerts())
    account.compare_states(detector.states(), undisturbed.states())
    return account


def full_disk(site: Site, topic: str, undisturbed: Detector) -> Account:
    """No room for the state in the middle of a run: no commits, alerts all the same, and well again."""
    state = site.folder / "small-disk"
    state.mkdir()
    mounted = _mount(state)
    how = f"a tmpfs of {DISK_MEGABYTES} MB" if mounted else "a file size limit of 0 (RLIMIT_FSIZE)"
    account = Account(f"full disk for the state: {how}")
    detector = site.detector(topic, state=state / "state", settings=SMALL_BATCHES)
    total = sum(site.ends(topic).values())
    try:
        member = detector.start()
        detector.reach(total // 4, member)
        filler = state / "filler"
        if mounted:
            _fill(filler)
        else:
            resource.prlimit(member.process.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        member.wait_for("cannot save or commit, trying again at the next save")
        before, alerts = detector.progress(), len(detector.alerts())
        time.sleep(DISK_SECONDS)
        account.demand(detector.progress() == before, "state was saved on a full disk")
        account.demand(
            "state-unsaved" in detector.self_alerts(), "no self-alert says that state is not saved"
        )
        account.note(f"{len(detector.alerts()) - alerts} alerts came while nothing could be saved")
        filler.unlink(missing_ok=True)
        if not mounted:
            unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
            resource.prlimit(member.process.pid, resource.RLIMIT_FSIZE, unlimited)
        detector.finish(member)
        member_said = {event["event"] for event in member.said()}
        account.demand("state is saved again" in member_said, "the log does not say that all is well again")
        account.compare(detector, undisturbed)
    finally:
        detector.close()
        if mounted:
            unmount = ["umount", str(state)]
            subprocess.run(unmount, check=True)
    return account


def _mount(folder: Path) -> bool:
    """A small file system of its own, where this user may mount one."""
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MEGABYTES}m,mode=0700", "none", str(folder)]
    try:
        return subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def _fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(65536))
        except OSError:
            return
