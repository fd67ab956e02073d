"""kill -9 at random moments of a run, with or without a rollover of the data stream before the restart."""

from __future__ import annotations

import random
import time

from benchmarks.faults.account import Account
from benchmarks.faults.site import Detector, Site

LONGEST_SECONDS = 0.5
"""A kill comes up to so long after the chosen record was saved: in any phase of a save."""


def kill_at_random_moments(
    site: Site, topic: str, undisturbed: Detector, kills: int, *, roll_over: bool, seed: int = 1
) -> Account:
    """Kill the detector `kills` times, spread evenly over the records; it must end as the undisturbed one."""
    account = Account(f"kill -9 at {kills} random moments" + (", a rollover after each" if roll_over else ""))
    rng = random.Random(seed)
    total = sum(site.ends(topic).values())
    moments = sorted(rng.randrange(total * 9 // 10) for _ in range(kills))
    # Small batches, so that more moments differ.
    detector = site.detector(topic, settings="[pipeline]\nbatch_queries = 500\n")
    reached = []
    try:
        for moment in moments:
            member = detector.start()
            member.wait_for("starting")
            detector.reach(moment, member)
            time.sleep(rng.uniform(0.0, LONGEST_SECONDS))
            member.alive()
            member.kill()
            site.give_up_members(detector.name)
            reached.append(detector.progress())
            if roll_over:
                detector.roll_over()
        detector.finish(detector.start())
    finally:
        detector.close()
    account.note(f"killed with {', '.join(map(str, reached))} of {total} records saved")
    account.compare(detector, undisturbed)
    return account
