"""`python -m benchmarks.fuzzing`: every decoder of foreign bytes under atheris, and an account of each."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.environments import cache_folder
from benchmarks.faults.account import Account
from benchmarks.fuzzing.decoders import TARGETS
from benchmarks.fuzzing.seeds import dictionary, seeds

ROOT = Path(__file__).parents[2]
LOCK = ROOT / "requirements" / "fuzzing.lock"
MEMORY_MB = 2048
"""Most that a fuzzing process may hold."""
INPUT_SECONDS = 10
"""Most that one input may take."""
SHOWN = 400

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    seconds: Annotated[int, typer.Option(min=1, help="How long each decoder is fuzzed.")] = 600,
    only: Annotated[str, typer.Option(help=f"By comma; all are: {','.join(TARGETS)}")] = ",".join(TARGETS),
    seed: Annotated[int, typer.Option(min=1, help="Of the fuzzer.")] = 1,
    findings: Annotated[Path, typer.Option(help="Directory for inputs that break something.")] = Path(
        "querywatch-findings"
    ),
) -> None:
    """Fuzz one decoder after the other; exit code 1 if anything breaks, hangs, differs or grows too large."""
    unknown = set(only.split(",")) - TARGETS.keys()
    if unknown:
        raise typer.BadParameter(f"no such decoder: {', '.join(sorted(unknown))}")
    packages = _packages()
    well = True
    for target in only.split(","):
        account = fuzz(target, packages, seconds, seed, findings)
        for line in account.lines():
            typer.echo(line)
        sys.stdout.flush()
        well &= account.well
    raise typer.Exit(0 if well else 1)


def fuzz(target: str, packages: Path, seconds: int, seed: int, findings: Path) -> Account:
    """One decoder, in a process of its own; what breaks it is written to `findings`."""
    account = Account(f"{target}: {seconds} s under atheris, seed {seed}")
    findings.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="querywatch-fuzzing-") as name:
        folder = Path(name)
        corpus = folder / "corpus"
        corpus.mkdir()
        given = seeds(target)
        for number, content in enumerate(given):
            (corpus / f"seed-{number}").write_bytes(content)
        words = folder / "words"
        words.write_text(dictionary())
        options = {
            "max_total_time": seconds,
            "timeout": INPUT_SECONDS,
            "rss_limit_mb": MEMORY_MB,
            "max_len": 4096,
            "seed": seed,
            "dict": words,
            "artifact_prefix": f"{findings.resolve() / target}-",
            "print_final_stats": 1,
            "use_value_profile": 1,
        }
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.fuzzing.guided", target]
            + [f"-{option}={value}" for option, value in options.items()]
            + [str(corpus)],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(packages)))},
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
    _report(account, done.stderr.splitlines(), len(given))
    account.demand(
        done.returncode == 0, f"ended with {done.returncode}: {_finding(done.stderr + done.stdout)}"
    )
    return account


def _report(account: Account, said: Iterable[str], given: int) -> None:
    """The runs, what they covered, time and memory, from what libFuzzer printed."""
    covered, stats = [], {}
    for line in said:
        if found := re.search(r"cov: (\d+) ft: (\d+) corp: (\d+)/", line):
            covered.append(tuple(map(int, found.groups())))
        if found := re.match(r"stat::(\w+):\s+(\d+)", line):
            stats[found[1]] = int(found[2])
    runs = stats.get("number_of_executed_units", 0)
    account.note(f"{runs:,} runs, {stats.get('average_exec_per_sec', 0):,} a second; {given} seeds")
    if covered:
        (first, _, _), (edges, features, kept) = covered[0], covered[-1]
        account.note(
            f"{edges:,} edges covered ({first:,} by the seeds), {features:,} features, {kept:,} inputs kept"
        )
    account.note(
        f"at most {stats.get('peak_rss_mb', 0):,} MB and {stats.get('slowest_unit_time_sec', 0)} s an input"
    )
    account.demand(runs > given, "the fuzzer did not come past its seeds")


def _finding(said: str) -> str:
    """What was found, in the fuzzer's words."""
    lines = [line.strip() for line in said.splitlines()]
    marks = ("Error", "ERROR", "SUMMARY", "Test unit written", "Exception", "ALARM")
    told = [line for line in lines if any(mark in line for mark in marks)]
    return " | ".join(told or lines[-3:])[:SHOWN]


def _packages() -> Path:
    """Where atheris lies, as `requirements/fuzzing.lock` pins it; installed, if it is not there."""
    folder = cache_folder() / f"fuzzing-{sha256(LOCK.read_bytes()).hexdigest()[:16]}"
    if not (folder / "complete").exists():
        print(f"installing atheris into {folder}; done once", flush=True)
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        chosen = ["--require-hashes", "-r", str(LOCK), "--no-deps", "--upgrade", "--target", str(folder)]
        subprocess.run([*pip, *chosen], check=True)
        (folder / "complete").touch()
    return folder


if __name__ == "__main__":
    app()
