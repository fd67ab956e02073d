"""`querywatch replay`: what it finds, where it puts it, and that batching changes no byte of it."""

from __future__ import annotations

import gzip
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from connectors.sqlite import read_alerts, read_dead_letters
from tests import traffic
from tests.detector.conftest import Querywatch


def documents(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def test_finds_the_search_and_nothing_else(querywatch: Querywatch, toy_log: Path, toy_profile: Path) -> None:
    result = querywatch("replay", toy_log, "--profile", toy_profile, "--frozen", "--alerts", "out.ndjson")
    assert result.exit_code == 0
    alerts = [d for d in documents(Path("out.ndjson")) if d["event"]["kind"] == "alert"]
    assert [d["user"]["id"] for d in alerts] == ["attacker-3"]
    technique = alerts[0]["querywatch"]["technique"]["name"]
    for said in (
        "sessions      61",
        "alerts        1 ",
        f"1  {technique}",
        "toy: judged by profile 1-",
        "(given)",
    ):
        assert said in result.stdout
    assert "dead letters  0" in result.stdout
    assert not Path("out.dead-letters.ndjson").exists()
    assert not Path("querywatch.sqlite").exists()


def test_without_options_the_database_of_the_config_is_added_to(
    querywatch: Querywatch, toy_log: Path, toy_profile: Path
) -> None:
    Path("c.toml").write_text(
        f'[detection]\nprofile = "{toy_profile}"\nlearn = false\n[sqlite]\npath = "x.db"\n'
    )
    first = querywatch("replay", toy_log, "--config", "c.toml")
    found = read_alerts("x.db")
    assert first.exit_code == 0
    assert found
    second = querywatch("replay", toy_log, "--config", "c.toml")
    assert read_alerts("x.db") == found
    assert "had been stored by an earlier run" in second.stdout


def test_file_and_database_hold_the_same(querywatch: Querywatch, toy_log: Path, toy_profile: Path) -> None:
    Path("out.ndjson").write_text("from an earlier run\n")
    options = ("--profile", toy_profile, "--frozen", "--alerts", "out.ndjson", "--db", "out.sqlite")
    with toy_log.open("ab") as log:
        log.write(b"not json\n")
    assert querywatch("replay", toy_log, *options).exit_code == 0
    stored = sorted(alert.to_json() for alert in read_alerts("out.sqlite"))
    assert stored == sorted(Path("out.ndjson").read_bytes().splitlines())
    (letter,) = read_dead_letters("out.sqlite")
    assert (letter.reason, letter.offset, letter.source) == ("not_json", 1161, str(toy_log))


@pytest.mark.parametrize("batch", [1, 7, 1000, 100_000])
@pytest.mark.parametrize("frozen", [True, False])
def test_batches_change_no_byte(
    querywatch: Querywatch, toy_log: Path, toy_profile: Path, batch: int, frozen: bool
) -> None:
    Path("c.toml").write_text(f"[pipeline]\nbatch_queries = {batch}\n")
    learn = "--frozen" if frozen else "--learn"
    arguments = ("replay", toy_log, "--profile", toy_profile, learn)
    assert querywatch(*arguments, "--alerts", "expected.ndjson").exit_code == 0
    assert querywatch(*arguments, "--alerts", "out.ndjson", "--config", "c.toml").exit_code == 0
    assert Path("out.ndjson").read_bytes() == Path("expected.ndjson").read_bytes() != b""


def test_files_are_merged_by_time(querywatch: Querywatch, toy_log: Path, toy_profile: Path) -> None:
    lines = toy_log.read_bytes().splitlines(keepends=True)
    Path("part-a.ndjson").write_bytes(b"".join(lines[::2]))
    Path("part-b.ndjson.gz").write_bytes(gzip.compress(b"".join(lines[1::2])))
    options = ("--profile", toy_profile, "--frozen", "--alerts")
    querywatch("replay", toy_log, *options, "whole.ndjson")
    result = querywatch("replay", "part-*", *options, "parts.ndjson")
    assert result.exit_code == 0
    assert Path("parts.ndjson").read_bytes() == Path("whole.ndjson").read_bytes()


def test_dead_letters_of_merged_files_name_file_and_line(querywatch: Querywatch) -> None:
    first, second = (traffic.benign(4, seed=seed) for seed in (1, 2))
    second[5]["input"][3] = 1e300
    traffic.write(Path("a.ndjson"), first)
    traffic.write(Path("b.ndjson"), second)
    assert querywatch("replay", "a.ndjson", "b.ndjson", "--db", "x.sqlite").exit_code == 0
    (letter,) = read_dead_letters("x.sqlite")
    assert (letter.source, letter.offset, letter.reason) == ("b.ndjson", 5, "input_not_finite")


def test_standard_input(querywatch: Querywatch, toy_log: Path, toy_profile: Path) -> None:
    options = ("--profile", toy_profile, "--frozen", "--alerts")
    querywatch("replay", toy_log, *options, "file.ndjson")
    result = querywatch("replay", "-", *options, "pipe.ndjson", stdin=toy_log.read_bytes())
    assert result.exit_code == 0
    assert Path("pipe.ndjson").read_bytes() == Path("file.ndjson").read_bytes() != b""


def test_no_opinion_says_why(querywatch: Querywatch, toy_profile: Path) -> None:
    log = traffic.write(Path("other.ndjson"), traffic.benign(5, seed=4, model="other"))
    alone = querywatch("replay", log)
    assert "other: no opinion: too little traffic for a profile" in alone.stdout
    assert "of 1,024 queries needed" in alone.stdout
    assert "querywatch fit" in alone.stdout
    more = traffic.write(Path("more.ndjson"), traffic.benign(100, seed=4, model="other"))
    begun = querywatch("replay", more, "--one-pass")
    assert "other: judged by prior-" in begun.stdout
    assert "of 1,024 evaluation points needed" in begun.stdout
    for queries, wanted in ((250, 200), (500, 100)):
        few = traffic.write(Path("few.ndjson"), traffic.benign(40, seed=4, model="other", queries=queries))
        assert f"fewer than {wanted} of its sessions" in querywatch("replay", few, "--one-pass").stdout
    frozen = querywatch("replay", log, "--profile", toy_profile, "--frozen")
    assert "the profile does not know this model; and learning is off" in frozen.stdout


def test_without_a_profile_files_teach_before_they_are_judged(querywatch: Querywatch) -> None:
    """The search comes first, when nothing is known of this model yet."""
    search = traffic.inversion(seed=3, at=traffic.START + 10.0)
    log = traffic.write(Path("log.ndjson"), traffic.mixed(traffic.benign(200, seed=2), search))
    result = querywatch("replay", log, "--alerts", "out.ndjson")
    alerts = [d for d in documents(Path("out.ndjson")) if d["event"]["kind"] == "alert"]
    assert [d["user"]["id"] for d in alerts] == ["attacker-3"]
    assert "(learned from this traffic)" in result.stdout
    for once in (("replay", log, "--one-pass"), ("replay", "-")):
        said = querywatch(*once, "--alerts", "once.ndjson", stdin=log.read_bytes()).stdout
        assert "judged by prior-" in said
        assert "attacker-3" not in Path("once.ndjson").read_text()


def test_what_the_first_profile_finds_in_what_went_by_is_told(querywatch: Querywatch) -> None:
    search = traffic.inversion(seed=3, queries=120, at=traffic.START + 1450.0)
    log = traffic.write(Path("log.ndjson"), traffic.mixed(traffic.benign(700, seed=2), search))
    Path("c.toml").write_text("[detection]\nprior = false\n")
    said = querywatch("replay", log, "--one-pass", "--config", "c.toml", "--alerts", "out.ndjson").stdout
    first, *later = documents(Path("out.ndjson"))
    assert first["user"]["id"] == "attacker-3"
    assert first["querywatch"]["alert"]["hindsight"] is True
    assert f"alerts        1 (and {len(later)} updates)" in said
    assert "        1  of them in hindsight" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["missing.ndjson"], "missing.ndjson"),
        (["."], "is a directory"),
        (["nothing-*.gz"], "no file matches"),
        (["log.ndjson", "--config", "missing.toml"], "cannot read the configuration"),
        (["log.ndjson", "--config", "wrong.toml"], "kafka.topik"),
        (["log.ndjson", "--profile", "missing.qwp"], "cannot read the profile"),
        (["log.ndjson", "--profile", "log.ndjson"], "make it again"),
        (["log.ndjson", "--page"], "add --elasticsearch"),
        (["log.ndjson", "--alerts", "log.ndjson"], "is one of the logs"),
        (["log.ndjson", "--db", "log.ndjson"], "is one of the logs"),
        (["bad.dead-letters.ndjson", "--alerts", "bad.ndjson"], "is one of the logs"),
        (["log.ndjson", "--config", "c.toml", "--alerts", "c.toml"], "is the configuration"),
        (["log.ndjson", "--profile", "p.qwp", "--db", "p.qwp"], "is the profile that judges"),
        (["log.ndjson", "--config", "c.toml", "--db", "p.qwp"], "is the profile that judges"),
        (["log.ndjson", "--alerts", "x", "--db", "./x"], "is another output"),
        (["log.ndjson", "--db", "other.sqlite"], "another program"),
        (["no\x1b[2J\nsuch.ndjson"], r"no\x1b[2J\nsuch.ndjson: "),
        (["log.ndjson", "--alerts", "no/such/folder.ndjson"], "cannot write"),
        (["log.ndjson", "--db", "no/such/folder.sqlite"], "cannot be opened"),
        (["log.ndjson", "--elasticsearch"], "elasticsearch.hosts"),
    ],
)
def test_what_cannot_be_used_is_one_line_and_code_2(
    querywatch: Querywatch, toy_log: Path, arguments: list[str], said: str
) -> None:
    Path("wrong.toml").write_text('[kafka]\ntopik = "x"\n')
    Path("c.toml").write_text('[detection]\nprofile = "p.qwp"\n')
    Path("p.qwp").write_bytes(b"a profile")
    Path("bad.dead-letters.ndjson").write_bytes(b"a log")
    with closing(sqlite3.connect("other.sqlite")) as other:
        other.execute("CREATE TABLE bookmarks (url TEXT)")
    before = {path: path.read_bytes() for path in Path().iterdir()}
    result = querywatch("replay", *arguments)
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith("querywatch: ")
    assert said in line
    assert {path: path.read_bytes() for path in before} == before


def test_unknown_option_is_code_2(querywatch: Querywatch) -> None:
    assert querywatch("replay", "x", "--no-such-option").exit_code == 2


def test_the_dead_letters_of_the_run_before_are_not_taken_for_this_one_s(
    querywatch: Querywatch, toy_log: Path
) -> None:
    Path("bad.ndjson").write_bytes(toy_log.read_bytes() + b"junk\n")
    querywatch("replay", "bad.ndjson", "--alerts", "out.ndjson")
    assert Path("out.dead-letters.ndjson").exists()
    querywatch("replay", toy_log, "--alerts", "out.ndjson")
    assert not Path("out.dead-letters.ndjson").exists()


def test_twenty_models_are_named_and_escaped(querywatch: Querywatch) -> None:
    queries = [q for n in range(23) for q in traffic.benign(1, seed=n, model=f"m{n:02}\x1b[31m\u202e\n")]
    result = querywatch("replay", traffic.write(Path("many.ndjson"), queries))
    assert [line[14:17] for line in result.stdout.splitlines() if line.startswith("model ")] == [
        f"m{n:02}" for n in range(20)
    ]
    assert "and 3 more models" in result.stdout
    assert r"m07\x1b[31m\u202e\n: no opinion" in result.stdout
    assert all(line.isprintable() for line in result.stdout.splitlines())


def shell(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run `command` in bash, with the program as $Q."""
    environment = os.environ | {
        "Q": f"{sys.executable} -m detector",
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    return subprocess.run(
        ["/bin/bash", "-o", "pipefail", "-c", command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        ("$Q replay - <&-", 2, "standard input is closed"),
        ("$Q replay log.ndjson >/dev/full", 2, "No space left"),
        ("$Q replay log.ndjson --alerts - >&-", 2, "standard output is closed"),
        ("$Q replay log.ndjson | true", 0, ""),
        ("$Q replay log.ndjson --profile {} --alerts - | true", 0, ""),
        ("$Q replay log.ndjson <&- | head -1", 0, ""),
    ],
)
def test_standard_streams_that_are_closed_or_full(
    tmp_path: Path, toy_log: Path, toy_profile: Path, command: str, code: int, said: str
) -> None:
    done = shell(command.format(toy_profile), tmp_path)
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    assert done.returncode == code
    if code:
        (line,) = done.stderr.splitlines()
        assert line.startswith("querywatch: ")
        assert said in line
    else:
        assert done.stderr == ""


@pytest.mark.parametrize("seconds", [0.15, 0.3, 0.5])
def test_interrupt_during_the_start_is_one_line(tmp_path: Path, toy_log: Path, seconds: float) -> None:
    # The program says nothing until it is loaded, so the moment is by the clock: any is right.
    code = (
        "import runpy; print(flush=True); runpy.run_module('detector', run_name='__main__', alter_sys=True)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, "replay", "-", "--db", str(tmp_path / "x.sqlite")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(seconds)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    # CPython ends by the signal itself when it came inside eval(); for a shell both are 130.
    assert process.returncode in {130, -signal.SIGINT}
    assert b"Traceback" not in err
    assert err == b"querywatch: interrupted\n" or out.startswith(b"Interrupted")


def test_interrupt_gives_the_account_so_far(tmp_path: Path, toy_log: Path, toy_profile: Path) -> None:
    # Far more after it than a pipe and a batch hold, so that it has been read when the last byte is written.
    more = b"".join(line + b"\n" for line in traffic.lines(traffic.benign(500, seed=6)))
    command = [sys.executable, "-m", "detector", "replay", "-", "--profile", str(toy_profile), "--frozen"]
    with (
        (tmp_path / "out").open("wb") as out,
        (tmp_path / "err").open("wb") as err,
        subprocess.Popen(
            [*command, "--alerts", "-"],
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=err,
            cwd=Path(__file__).parents[2],
        ) as process,
    ):
        assert process.stdin is not None
        process.stdin.write(toy_log.read_bytes() + more)
        process.stdin.flush()
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 130
    said = (tmp_path / "err").read_text()
    assert "Interrupted; this is the account so far." in said
    assert "Traceback" not in said
    assert json.loads((tmp_path / "out").read_bytes().splitlines()[0])["user"]["id"] == "attacker-3"
