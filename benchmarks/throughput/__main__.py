"""`python -m benchmarks.throughput`: queries/s of `querywatch replay` on one core, and of its stages."""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.throughput.log import write_log

REQUIRED = 50_000
"""Queries/s on one core after a warm start that the project promises for inputs of 64 numbers."""

app = typer.Typer(add_completion=False)


@app.command()
def command(
    queries: Annotated[int, typer.Option(min=1000, help="Queries of the log.")] = 100_000,
    numbers: Annotated[int, typer.Option(min=1, help="Numbers of one input, such as 16, 64, 784.")] = 64,
    sessions: Annotated[int, typer.Option(min=100, help="Sessions of the log, about.")] = 2000,
    base64: Annotated[bool, typer.Option("--base64", help="Inputs as float32 in base64.")] = False,
    learn: Annotated[bool, typer.Option("--learn/--frozen", help="Go on learning while judging.")] = False,
    profile_calls: Annotated[
        bool, typer.Option("--calls", help="Also print where the time of a warm run goes (cProfile).")
    ] = False,
) -> None:
    """Writes a log, fits a profile on another, replays on one core twice, and times the stages alone."""
    core = min(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})  # child processes inherit it
    with tempfile.TemporaryDirectory(prefix="querywatch-throughput-") as folder:
        log, history, profile = (Path(folder) / name for name in ("log.ndjson", "history.ndjson", "p.qwp"))
        write_log(history, 20_000, numbers, 400, seed=1, base64_inputs=base64)
        write_log(log, queries, numbers, sessions, seed=2, base64_inputs=base64)
        size = log.stat().st_size
        typer.echo(f"log: {queries:,} queries of {numbers} numbers, {size / 2**20:.0f} MiB; core {core}")
        _querywatch("fit", str(history), "--profile", str(profile))
        replay = ["replay", str(log), "--profile", str(profile), "--alerts", str(Path(folder) / "a.ndjson")]
        replay.append("--learn" if learn else "--frozen")
        one = Path(folder) / "one.ndjson"
        one.write_bytes(log.read_bytes().partition(b"\n")[0])
        _measured("replay", str(one), *replay[2:])  # compiles the kernels, if they are not
        _, wall_before, cpu_before = _measured("replay", str(one), *replay[2:])
        typer.echo(f"start-up: {wall_before:.1f} s, of the processor {cpu_before:.1f} s")
        reported = 0.0
        for name in ("first run", "warm run"):
            output, wall, cpu = _measured(*replay)
            reported = _reported(output)
            typer.echo(
                f"{name:20}{reported:>10,.0f} queries/s after start-up, as it says itself; "
                f"{queries / (cpu - cpu_before):,.0f} by processor time less start-up, "
                f"{queries / wall:,.0f} by the wall clock ({wall:.1f} s) with it"
            )
        _print_stages(log, profile, queries, learn)
        if profile_calls:
            _print_calls(replay)
    verdict = "reached" if reported >= REQUIRED else "MISSED"
    typer.echo(f"goal: {REQUIRED:,} queries/s on one core after a warm start: {verdict}")


def _print_stages(log: Path, profile: Path, queries: int, learn: bool) -> None:
    from benchmarks.throughput.stages import stages

    found = stages(log, profile, learn=learn)
    decode = next(iter(found.values()))
    for name, seconds in found.items():
        typer.echo(
            f"{name:20}{queries / seconds:>10,.0f} queries/s alone, {seconds / decode:.2f} of decoding"
        )


def _print_calls(replay: list[str]) -> None:
    code = (
        "import cProfile, pstats, sys; from detector.cli import app; calls = cProfile.Profile(); "
        "calls.runcall(app, sys.argv[1:], standalone_mode=False); "
        "pstats.Stats(calls).sort_stats('tottime').print_stats(15)"
    )
    typer.echo(_run([sys.executable, "-c", code, *replay]))


def _querywatch(*arguments: str) -> str:
    return _run([sys.executable, "-m", "detector", *arguments])


def _measured(*arguments: str) -> tuple[str, float, float]:
    """Output, and seconds by the wall clock and of the processor."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    before, begun = used.ru_utime + used.ru_stime, time.perf_counter()
    output = _querywatch(*arguments)
    wall = time.perf_counter() - begun
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return output, wall, used.ru_utime + used.ru_stime - before


def _run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr}")
    return done.stdout


def _reported(output: str) -> float:
    """Queries/s that the account of a replay says."""
    found = re.search(r"\(([\d,]+) queries/s\)", output)
    if not found:
        raise SystemExit(f"the account of the replay names no speed:\n{output}")
    return float(found.group(1).replace(",", ""))


if __name__ == "__main__":
    app()
