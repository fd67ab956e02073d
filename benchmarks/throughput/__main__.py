"""`python -m benchmarks.throughput`: what stages, sessions, servers and peers cost, in one run."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from benchmarks.throughput import report
from benchmarks.throughput.prepared import Prepared, prepare

PARTS = ("startup", "stages", "live", "one", "bound", "elasticsearch", "kafka", "peers")


class Size(NamedTuple):
    """Queries of a log; live sessions, and queries of each; queries of the long session; bound on memory that
    is flooded [MB]; queries from Kafka by workers, and turns of these."""

    queries: int
    sessions: list[int]
    each: int
    long: int
    bound: int
    kafka: int
    turns: int


WHOLE = Size(200_000, [1_000, 100_000, 1_000_000], 20, 1_000_000, 256, 500_000, 3)
QUICK = Size(40_000, [1_000, 30_000], 4, 100_000, 64, 40_000, 1)
NUMBERS = 2**25
"""Numbers of one log at most, whatever is asked for: what is measured alone is held in memory, and writing
200,000 inputs of 784 numbers and taking them to a broker again and again takes a quarter of an hour."""

app = typer.Typer(add_completion=False)


@app.command()
def command(
    only: Annotated[
        str, typer.Option(help=f"Parts to run, with commas between: {', '.join(PARTS)}. All without it.")
    ] = "",
    numbers: Annotated[str, typer.Option(help="Numbers of one input, with commas between.")] = "16,64,784",
    quick: Annotated[bool, typer.Option("--quick", help="Some minutes instead of most of an hour.")] = False,
    queries: Annotated[
        int, typer.Option(min=0, help="Queries of the logs, fewer where inputs are long; 0: by --quick.")
    ] = 0,
    sessions: Annotated[
        str, typer.Option(help="Live sessions, with commas between; empty: by --quick.")
    ] = "",
    base64: Annotated[bool, typer.Option("--base64", help="Inputs as float32 in base64.")] = False,
    learn: Annotated[bool, typer.Option("--learn/--frozen", help="Go on learning in `stages`.")] = False,
    profile_calls: Annotated[
        bool, typer.Option("--calls", help="Also print where the time of the core goes (cProfile).")
    ] = False,
) -> None:
    """Measures parts of querywatch alone and together, and its peers, on this machine.

    Rates are queries a second of one core (processor time), so that other load disturbs little; where the
    wall clock is meant, the line says so. Everything runs on logs made here.
    """
    size = QUICK if quick else WHOLE
    parts = [part.strip() for part in only.split(",") if part.strip()] or list(PARTS)
    unknown = set(parts) - set(PARTS)
    if unknown:
        raise typer.BadParameter(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    lengths = [int(n) for n in numbers.split(",")]
    live = [int(n) for n in sessions.split(",") if n] or size.sessions
    typer.echo(f"{len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory(prefix="querywatch-throughput-") as name:
        folder = Path(name)
        made = [
            prepare(folder, min(queries or size.queries, NUMBERS // n), n, base64=base64) for n in lengths
        ]
        middle = made[len(made) // 2]  # of what is measured for one length only

        def long_topic() -> Prepared:
            """A topic that is over in a second says how long it takes to begin."""
            count = min(queries or size.kafka, NUMBERS // middle.numbers)
            return prepare(folder, count, middle.numbers, base64=base64, name="kafka-")

        work: dict[str, Callable[[], None]] = {
            "startup": lambda: report.startup(middle, folder),
            "stages": lambda: _each(made, lambda one: report.stages(one, learn=learn, calls=profile_calls)),
            "live": lambda: report.live(middle, live, size.each),
            "one": lambda: report.one(made[0], size.long),
            "bound": lambda: report.bound(size.bound),
            "elasticsearch": lambda: report.elasticsearch(middle),
            "kafka": lambda: report.kafka(long_topic(), folder, size.turns),
            "peers": lambda: _each(made, lambda one: report.peers(one, folder)),
        }
        for part in PARTS:
            if part in parts:
                work[part]()


def _each(made: list[Prepared], show: Callable[[Prepared], None]) -> None:
    for one in made:
        show(one)


if __name__ == "__main__":
    app()
