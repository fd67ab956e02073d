"""A recorded attack becomes sessions: disguised, dealt to clients and session ids, sent at some pace."""

from __future__ import annotations

import numpy as np

from benchmarks.traces import log, schedule
from benchmarks.traces.identities import Directory, Identity
from benchmarks.traces.recording import Recording
from benchmarks.traces.schedule import Period
from benchmarks.traces.targets import Target
from benchmarks.traces.variants import Variant, disguise, parts, pauses


def deal(
    recording: Recording,
    variant: Variant,
    target: Target,
    who: Identity,
    directory: Directory,
    rng: np.random.Generator,
    period: Period,
) -> list[log.Session]:
    """The attack's sessions, one unless the variant spreads it. With several accounts, all are new clients
    and `who` sends nothing."""
    sent = disguise(recording, variant, target, rng)
    pace = str(rng.choice(schedule.ATTACK_PACES))
    start = schedule.start_time(rng, period, pace != "person")
    since = pauses(variant, len(sent), rng)
    if since is None:
        since = schedule.arrivals(rng, schedule.PACES[pace], list(sent.calls))
    times = np.round(start + since, 4)
    account, session = parts(variant, len(sent))
    clients = [who]
    if variant.accounts > 1:
        clients = [directory.register(target.model_id) for _ in range(int(account.max()) + 1)]
    members = [(a, s) for a in range(len(clients)) for s in range(int(session.max()) + 1)]
    rows = [np.flatnonzero((account == a) & (session == s)) for a, s in members]
    several = sum(mine.size > 0 for mine in rows) > 1
    campaign = directory.token(4) if several else ""
    return [
        log.Session(
            session_id=directory.token(8),
            client_id=clients[a].client_id,
            model_id=target.model_id,
            kind=recording.kind,
            family=recording.family,
            source_ip=clients[a].source_ip,
            user_agent=clients[a].user_agent,
            request_prefix=directory.token(4),
            inputs=sent.inputs[mine],
            answers=sent.answers[mine],
            times=times[mine],
            own=sent.own[mine],
            campaign=campaign,
            natural=sent.natural,
        )
        for (a, _), mine in zip(members, rows, strict=True)
        if mine.size
    ]
