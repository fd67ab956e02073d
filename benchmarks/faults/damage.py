"""State files that are damaged, old or gone when a killed detector starts again: nothing lost, nothing twice.

The whole topic is younger than a session gap, so that sessions that are rebuilt from the log are complete:
even then everything must be as undisturbed.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from benchmarks.faults.account import Account
from benchmarks.faults.site import Detector, Member, Site, wait
from detector.state_header import header_of

UNUSABLE = "saved state is not usable"
REBUILT = "degraded: sessions are rebuilt from the log; those that began earlier are cut"


class Fault(NamedTuple):
    """What happens to one partition's files, and the event that the next start must log, if any."""

    name: str
    spoil: Callable[[Path, Path], object]
    """Of a file, and the file of the same name in a copy of the directory that was made early."""
    both: bool = False
    """To both generations, else to the newest."""
    event: str = UNUSABLE
    piece: int | None = None
    """Not to the state itself but to one of its pieces, by its index from the oldest on. Where both
    generations name that one, the sessions are rebuilt."""


FAULTS = (
    Fault("a bit flipped", lambda path, copy: _flip(path)),
    Fault("cut in half", lambda path, copy: _cut(path)),
    Fault("empty", lambda path, copy: os.truncate(path, 0)),
    Fault("older by many saves", lambda path, copy: copy.replace(path), event=""),
    Fault("a bit flipped in both generations", lambda path, copy: _flip(path), both=True, event=REBUILT),
    Fault("both generations gone", lambda path, copy: path.unlink(), both=True, event=REBUILT),
)


PIECES = (
    Fault("a bit flipped in its newest piece", lambda path, copy: _flip(path), piece=-1),
    Fault("its oldest piece cut in half", lambda path, copy: _cut(path), piece=0),
    Fault("its newest piece gone", lambda path, copy: path.unlink(), piece=-1),
    Fault("its oldest piece gone", lambda path, copy: path.unlink(), piece=0),
)


def damaged_states(site: Site, topic: str, undisturbed: Detector, seed: int = 1) -> Account:
    """Killed again and again; each time something else happens to the state of one partition."""
    faults = (*FAULTS, *PIECES) if site.endless else FAULTS
    what = "state files and pieces" if site.endless else "state files"
    account = Account(f"{what} damaged, cut, emptied, old, and gone, while the detector is away")
    rng = random.Random(seed)
    ends = site.ends(topic)
    total = sum(ends.values())
    detector = site.detector(topic, settings="[pipeline]\nbatch_queries = 500\n")
    early = detector.folder / "early"
    expected = 0
    try:
        member = detector.start()
        detector.reach(total // 10, member)
        _kill(site, detector, member)
        shutil.copytree(detector.state, early)
        unfinished = [p for p, offset in sorted(detector.positions().items()) if offset < ends[p]]
        for n, fault in enumerate(faults):
            member = detector.start()
            detector.reach(total * (n + 2) // (len(faults) + 3), member)
            _kill(site, detector, member)
            states = [detector.state / f"{topic}-{partition}.state" for partition in unfinished]
            states = [state for state in states if fault.piece is None or _pieces(state)]
            account.demand(bool(states), f"no state was in pieces for: {fault.name}")
            if not states:
                continue
            newest = rng.choice(states)
            partition = int(newest.stem.rpartition("-")[2])
            previous = newest.with_name(f"{newest.name}.previous")
            spoiled, event = [newest, previous] if fault.both else [newest], fault.event
            if fault.piece is not None:
                spoiled = [_pieces(newest)[fault.piece]]
                event = REBUILT if previous.exists() and spoiled[0] in _pieces(previous) else UNUSABLE
            expected += event == REBUILT or (event == UNUSABLE and not previous.exists())
            account.note(
                f"at {detector.progress()} of {total}: partition {partition}, {fault.name}"
                + (" (of both generations)" if fault.piece is not None and event == REBUILT else "")
            )
            for path in spoiled:
                if path.exists():
                    fault.spoil(path, early / path.name)
            member = detector.start()
            if event:
                member.wait_for(event)
            wait(partial(_wrote, member, partition), member.alive, "a new state of the partition")
            _kill(site, detector, member)
        detector.finish(detector.start())
    finally:
        detector.close()
    rebuilt = sum(event["event"] == REBUILT for member in detector.members for event in member.said())
    account.note(f"rebuilt from the log {rebuilt} times, each with an alert of its own")
    account.demand(rebuilt == expected, f"it should have been rebuilt {expected} times")
    account.demand("state-rebuilt" in detector.self_alerts(), "no self-alert says that state was rebuilt")
    account.demand(bool(list(detector.state.glob("*.damaged"))), "what was damaged is not kept")
    account.compare(detector, undisturbed)
    return account


def _kill(site: Site, detector: Detector, member: Member) -> None:
    member.alive()
    member.kill()
    site.give_up_members(detector.name)


def _wrote(member: Member, partition: int) -> bool:
    return any(e["event"] == "state written" and e["partition"] == partition for e in member.said())


def _pieces(state: Path) -> list[Path]:
    """Of a saved state, the oldest first."""
    with state.open("rb") as file:
        return [state.with_name(piece.name) for piece in header_of(file.readline()).pieces]


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _cut(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
