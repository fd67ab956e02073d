"""Alerts into a real Elasticsearch (`tests.servers` starts it), and starting up."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from pathlib import Path

import msgspec

from benchmarks.throughput.prepared import Prepared, read_log
from connectors.elasticsearch import ElasticsearchSink
from detector import profile as profiles
from detector.config import Config, Elasticsearch
from detector.edge import make_decoder
from detector.pipeline import Shard
from detector.settings import Settings
from tests.servers.elasticsearch import ElasticsearchServer

WRITE = 500
"""Alerts of one write."""


def into_elasticsearch(prepared: Prepared, server: ElasticsearchServer, alerts: int) -> float:
    """Seconds by the wall clock that `alerts` alerts take, one write after the other."""
    shard = Shard(Settings(learn=False), profiles.load(prepared.profile))
    decoder = make_decoder(Config())
    found = [a for raw in read_log(prepared.log) for a in shard.process(decoder.decode(raw)[0]).alerts]
    if not found:
        raise SystemExit("the log of the benchmark gives no alert")
    copies = [msgspec.structs.replace(found[n % len(found)], id=f"{n:032x}") for n in range(alerts)]
    sink = ElasticsearchSink(Elasticsearch(hosts=(server.url,), namespace=uuid.uuid4().hex))
    sink.open()
    sink.write([msgspec.structs.replace(found[0], id="warm-up")])
    begun = time.perf_counter()
    for first in range(0, alerts, WRITE):
        delivery = sink.write(copies[first : first + WRITE])
        assert delivery.created == len(copies[first : first + WRITE])
    seconds = time.perf_counter() - begun
    sink.close()
    return seconds


def start_up(prepared: Prepared, folder: Path) -> dict[str, float]:
    """Seconds until `replay` of one query has ended: with no compiled kernel on disk, and with all."""
    one = folder / "one.ndjson"
    one.write_bytes(prepared.log.read_bytes().partition(b"\n")[0] + b"\n")
    command = [sys.executable, "-m", "detector", "replay", str(one), "--profile", str(prepared.profile)]
    command += ["--frozen", "--alerts", str(folder / "one.alerts.ndjson")]
    kernels = folder / "kernels"
    kernels.mkdir(mode=0o700)
    seconds = {}
    for name in ("cold", "warm"):
        begun = time.perf_counter()
        done = subprocess.run(command, env=_environment(kernels), capture_output=True, check=False)
        if done.returncode != 0:
            raise SystemExit(done.stderr.decode())
        seconds[name] = time.perf_counter() - begun
    return seconds


def _environment(kernels: Path) -> dict[str, str]:
    return {**os.environ, "NUMBA_CACHE_DIR": str(kernels)}
