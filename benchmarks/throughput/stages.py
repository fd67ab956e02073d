"""The stages of a replay alone, in this process, by processor time."""

from __future__ import annotations

import tempfile
from collections import deque
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.throughput.prepared import Prepared, Works, best, read_log, run_querywatch
from connectors.file_sinks import NdjsonAlertSink
from detector import profile as profiles
from detector.alert import Alert
from detector.collector import calm_collector
from detector.config import Config
from detector.edge import make_decoder
from detector.pipeline import Shard, warm_up
from detector.settings import Settings
from models.base import IntArray, Matrix, Vector
from models.ensemble import Ensemble


class Silent(Ensemble):
    """Has no opinion, and takes no time over it."""

    def __init__(self) -> None:
        pass

    def score(self, x: Matrix, points: IntArray | None = None) -> Vector:
        return np.full(len(x), np.nan)


def stages(
    prepared: Prepared, beside: Works, *, learn: bool = False, times: int = 5
) -> tuple[dict[str, float], dict[str, float]]:
    """Processor seconds of each stage over the whole log, those that cannot run alone as differences; and of
    what is measured beside them."""
    calm_collector()
    known = profiles.load(prepared.profile)
    warm_up(known)
    silent = {name: replace(profile, ensemble=Silent()) for name, profile in known.items()}
    raws = list(read_log(prepared.log))
    decoder = make_decoder(Config())
    decoded = [decoder.decode(raw)[0] for raw in raws]

    def decode() -> None:
        for raw in raws:
            decoder.decode(raw)

    def core(judges: dict[str, profiles.ModelProfile], *, learn: bool) -> list[Alert]:
        shard = Shard(Settings(learn=learn), judges)
        return [alert for records in decoded for alert in shard.process(records).alerts]

    alerts = core(known, learn=False)
    works: Works = {
        "read": lambda: deque(read_log(prepared.log), maxlen=0),
        "decode": decode,
        "measured": lambda: core(silent, learn=False),
        "judged": lambda: core(known, learn=learn),
        "sink": lambda: _write(alerts),
    }
    found = best({**works, **beside}, times)
    own = {
        "read": found["read"],
        "decode": found["decode"],
        "columns, sessions, features": found["measured"],
        "models, policy": found["judged"] - found["measured"],
        "sink (NDJSON)": found["sink"],
    }
    return own, {name: found[name] for name in beside}


def replay(prepared: Prepared) -> tuple[float, float]:
    """Seconds of `querywatch replay` of the whole log less those of its first query: of the processor, and by
    the wall clock, where reading and decoding go on beside the core."""
    with tempfile.TemporaryDirectory(prefix="querywatch-") as name:
        one = Path(name) / "one.ndjson"
        with prepared.log.open("rb") as file:
            one.write_bytes(file.readline())
        options = [
            "--profile",
            str(prepared.profile),
            "--frozen",
            "--alerts",
            str(Path(name) / "alerts.ndjson"),
        ]
        start, whole = (
            [run_querywatch("replay", str(log), *options) for _ in range(2)] for log in (one, prepared.log)
        )
    return (
        min(run.cpu for run in whole) - min(run.cpu for run in start),
        min(run.wall for run in whole) - min(run.wall for run in start),
    )


def _write(alerts: list[Alert]) -> None:
    with tempfile.TemporaryDirectory(prefix="querywatch-") as folder:
        sink = NdjsonAlertSink(str(Path(folder) / "alerts.ndjson"))
        sink.open()
        sink.write(alerts)
        sink.close()


def print_calls(prepared: Prepared) -> str:
    """Where the time of the core goes, call by call (cProfile)."""
    import cProfile
    import io
    import pstats

    known = profiles.load(prepared.profile)
    warm_up(known)
    decoder = make_decoder(Config())
    raws = list(read_log(prepared.log))
    shard = Shard(Settings(learn=False), known)
    calls = cProfile.Profile()
    calls.enable()
    for raw in raws:
        shard.process(decoder.decode(raw)[0])
    calls.disable()
    text = io.StringIO()
    pstats.Stats(calls, stream=text).sort_stats("tottime").print_stats(25)
    return text.getvalue()
