"""Each part of the benchmark, run and printed."""

from __future__ import annotations

from contextlib import ExitStack
from functools import cache
from pathlib import Path
from statistics import median

from benchmarks.throughput import servers
from benchmarks.throughput import stages as stage
from benchmarks.throughput.bare import decode_only
from benchmarks.throughput.bound import EACH
from benchmarks.throughput.prepared import Part, Prepared, run_part
from benchmarks.throughput.quix import quix
from benchmarks.throughput.service import Topic, from_kafka
from tests.servers.elasticsearch import ElasticsearchServer
from tests.servers.kafka import KafkaServer

ALERTS = 10_000
FEW = 20_000
"""Queries that the peers get."""
TURNS = 10
"""Takes of each number of live sessions."""
LENGTHS = (16, 64, 784, 4096)
"""Numbers of the inputs that flood the memory."""
CLIENTS = ("kafka-python", "confluent")
GOALS = {
    "decode": 0.5,
    "plain kafka-python": 4.0,
    "plain confluent": 6.0,
    "quix": 5.0,
    "workers": 1.6,
    "live": 0.7,
}


def _head(text: str) -> None:
    print(f"\n{text}", flush=True)


def _rate(name: str, queries: float, seconds: float, more: str = "") -> None:
    print(f"  {name:42}{queries / seconds:>12,.0f}/s {1e6 * seconds / queries:>8.2f} us  {more}", flush=True)


def startup(prepared: Prepared, folder: Path) -> None:
    """Seconds of a start."""
    _head("start-up to the end of a replay of one query, wall clock")
    for name, seconds in servers.start_up(prepared, folder).items():
        print(f"  {name:42}{seconds:>12.1f} s")


@cache
def _stages(prepared: Prepared, learn: bool) -> tuple[dict[str, float], dict[str, float]]:
    return stage.stages(prepared, decode_only(prepared), learn=learn)


def stages(prepared: Prepared, *, learn: bool, calls: bool) -> None:
    """Each stage alone, the whole, and the whole against decoding only (c)."""
    found, only = _stages(prepared, learn)
    whole = sum(found.values())
    _head(f"stages of a replay, {prepared.name}{', learning' if learn else ''}")
    for name, seconds in found.items():
        _rate(name, prepared.queries, seconds, f"{seconds / whole:.0%}")
    _rate("whole", prepared.queries, whole)
    if not learn:
        cpu, wall = stage.replay(prepared)
        _rate("whole, `querywatch replay`", prepared.queries, cpu)
        _rate("whole, `querywatch replay`, wall clock", prepared.queries, wall)
    for name, seconds in only.items():
        ratio = f"whole at {seconds / whole:.2f} of it (goal {GOALS['decode']:g})"
        _rate(f"(c) read and decode {name} only", prepared.queries, seconds, ratio)
    if calls:
        print(stage.print_calls(prepared))


def live(prepared: Prepared, sessions: list[int], each: int) -> None:
    """Speed, memory and saving with many live sessions; each number of them in a process of its own."""
    _head(f"live sessions of {each} queries of {prepared.numbers} numbers, after decoding")
    queries = min(100_000, prepared.queries) // TURNS
    with ExitStack() as stack:
        crowds = {
            count: stack.enter_context(
                Part(
                    "benchmarks.throughput.live",
                    kind="many",
                    sessions=count,
                    numbers=prepared.numbers,
                    each=each,
                    profile=str(prepared.profile),
                )
            )
            for count in sessions
        }
        takes = [
            {count: crowd.ask(f"take {queries}") for count, crowd in crowds.items()} for _ in range(TURNS)
        ]
        saves = {count: crowd.ask("save") for count, crowd in crowds.items()}
    first = [take[sessions[0]]["seconds"] for take in takes]
    for count, saved in saves.items():
        seconds = [take[count]["seconds"] for take in takes]
        points = sum(take[count]["points"] for take in takes)
        turns = [one / other for one, other in zip(first, seconds, strict=True)]
        _rate(
            f"{saved['live']:,.0f} live sessions",
            1.0,
            min(seconds),
            f"{min(first) / min(seconds):.2f} of the first (goal {GOALS['live']:g}), "
            f"{median(turns):.2f} in the median of {TURNS} turns; {points:,.0f} evaluation points, "
            f"{saved['resident'] / count:,.0f} bytes a session",
        )
        print(
            f"{'':6}save of {saved['bytes'] / 2**20:,.0f} MiB, {saved['changed']:,.0f} entities changed: "
            f"pause {1000 * saved['pause']:,.0f} ms, stop {saved['stop']:.1f} s (wall clock); "
            f"copying all takes {1000 * saved['all copied']:,.0f} ms"
        )
    print(f"  sessions.memory_mb = 1024 keeps {saved['kept by default']:,.0f} sessions a model and partition")


def bound(megabytes: int) -> None:
    """Floods of sessions against a bound on memory, of inputs up to the longest."""
    _head(f"more sessions than sessions.memory_mb = {megabytes} holds, {EACH} queries each")
    for numbers in LENGTHS:
        for learn in (False, True):
            found = run_part(
                "benchmarks.throughput.bound", numbers=numbers, memory=megabytes << 20, learn=learn
            )
            held, grown = found["held"] / 2**20, found["grown"] / 2**20
            name = f"{numbers} numbers{', learning' if learn else ''}"
            print(
                f"  {name:30}held at most {held:6.1f} MB, process grown by {grown:6.1f} MB; "
                f"{found['came']:,.0f} sessions came, {found['kept']:,.0f} kept",
                flush=True,
            )


def one(prepared: Prepared, queries: int) -> None:
    """One very long session."""
    _head(f"one session of {queries:,} queries of {prepared.numbers} numbers, after decoding")
    found = run_part(
        "benchmarks.throughput.live",
        kind="one",
        numbers=prepared.numbers,
        queries=queries,
        profile=str(prepared.profile),
    )
    _rate("second tenth", 1.0, found["first"])
    _rate("last tenth", 1.0, found["last"], f"memory grown by {found['grown'] / 2**20:.1f} MiB")


def elasticsearch(prepared: Prepared, alerts: int = ALERTS) -> None:
    """Alerts a second, one writer."""
    _head("alerts into Elasticsearch, one writer, wall clock")
    with ElasticsearchServer() as server:
        seconds = servers.into_elasticsearch(prepared, server, alerts)
    _rate(f"{alerts:,} alerts", alerts, seconds)


def kafka(prepared: Prepared, folder: Path, turns: int) -> None:
    """Kafka to Elasticsearch with one worker and with two, which take turns."""
    _head(f"Kafka to Elasticsearch, {prepared.name}, {prepared.queries:,} queries")
    print("  the servers share these cores")
    with KafkaServer(quick=False) as broker, ElasticsearchServer() as node:
        for client in CLIENTS:
            takes = [
                [_workers(prepared, folder, broker, node, workers, client) for workers in (1, 2)]
                for _ in range(turns)
            ]
            ratios = [one / two for one, two in takes]
            each = ", ".join(f"{ratio:.2f}" for ratio in ratios)
            print(
                f"  two against one by the wall clock, median of {turns}: {median(ratios):.2f} "
                f"(goal {GOALS['workers']:g}); {each}"
            )


def _workers(
    prepared: Prepared,
    folder: Path,
    broker: KafkaServer,
    node: ElasticsearchServer,
    workers: int,
    client: str,
) -> float:
    """Seconds by the wall clock of so many workers."""
    topic = Topic(broker, prepared.log)
    found = from_kafka(prepared, folder, topic, node, workers=workers, client=client)
    topic.remove()
    name = f"{client}, {workers} worker{'s' if workers > 1 else ''}"
    _rate(f"{name}, wall clock", prepared.queries, found["seconds"])
    _rate(f"{name}, processor", prepared.queries, found["cpu"], f"{found['alerts']:,.0f} alerts")
    return found["seconds"]


def peers(prepared: Prepared, folder: Path) -> None:
    """(a) and (b) beside querywatch, each from a topic of the same records."""
    _head(f"peers, from Kafka, {prepared.name}")
    few = min(prepared.queries, FEW)
    ours = {}
    with KafkaServer(quick=False) as broker:
        for client in CLIENTS:
            topic = Topic(broker, prepared.log)
            ours[client] = from_kafka(prepared, folder, topic, None, workers=1, client=client)["cpu"]
            _rate(f"querywatch, {client}", prepared.queries, ours[client])
        for every in (1, 4):
            found = run_part(
                "benchmarks.throughput.plain_loop",
                bootstrap=broker.bootstrap,
                topic=topic.name,
                queries=few,
                every=every,
                profile=str(prepared.profile),
            )
            said = "each event" if every == 1 else f"every {every}th of a session"
            _rate(f"(a) plain loop, model at {said}", few, found["seconds"])
            _ratios(ours, prepared.queries, found["seconds"] / few, "plain")
        seconds = quix(broker.bootstrap, topic.name, few)
        _rate("(b) Quix Streams, its state store, no model", few, seconds)
        _ratios(ours, prepared.queries, seconds / few, "quix")


def _ratios(ours: dict[str, float], queries: int, theirs: float, goal: str) -> None:
    for client, seconds in ours.items():
        wanted = GOALS.get(f"{goal} {client}", GOALS.get(goal, 0.0))
        print(
            f"{'':6}querywatch with {client}: {theirs / (seconds / queries):.1f} times that (goal {wanted:g})"
        )
