"""`fit`, `init`, `check`, `version`, `--help`: what they print and how they end."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tomllib
from pathlib import Path

import msgspec
import pytest

from detector import __version__, config, prior
from detector import profile as profiles
from detector.policy import SESSION
from tests import traffic
from tests.detector.conftest import Querywatch

ROOT = Path(__file__).resolve().parents[2]


def test_init_writes_every_option_at_its_default(querywatch: Querywatch) -> None:
    printed = querywatch("init").stdout
    assert tomllib.loads(printed) == msgspec.json.decode(msgspec.json.encode(config.Config()))
    assert config.parse(printed, {}) == config.Config()
    lines = printed.splitlines()
    assert "# False alerts accepted per 10,000 benign sessions. Above 0, at most 100." in lines
    assert "false_alert_budget = 1.0" in lines
    assert max(map(len, lines)) <= 110


def test_init_does_not_overwrite(querywatch: Querywatch) -> None:
    first = querywatch("init", "new.toml")
    assert first.exit_code == 0
    assert "querywatch check --config new.toml" in first.stdout
    assert config.load(Path("new.toml"), {}) == config.Config()
    Path("new.toml").write_text("# mine\n")
    second = querywatch("init", "new.toml")
    assert second.exit_code == 2
    assert "is not overwritten" in second.stderr
    assert Path("new.toml").read_text() == "# mine\n"


def test_fit_tells_what_each_model_got(querywatch: Querywatch) -> None:
    plenty, little = traffic.benign(300, seed=1, model="plenty"), traffic.benign(10, seed=2, model="little")
    traffic.write(Path("history.ndjson"), traffic.mixed(plenty, little))
    result = querywatch("fit", "history.ndjson", "--profile", "p.qwp")
    assert result.exit_code == 0
    profile = profiles.load(Path("p.qwp"))["plenty"]
    assert f"plenty: profile {profile.version}" in result.stdout
    assert "300 sessions, 750 evaluation points" in result.stdout
    assert f"threshold {profile.thresholds(1.0)[SESSION, 0]:.1f} for a budget of 1 " in result.stdout
    assert "can show 100 false alerts per 10,000 sessions; beyond that the budget of 1 is" in result.stdout
    assert "little: no profile, " in result.stdout
    assert set(profiles.load(Path("p.qwp"))) == {"plenty"}


def test_fit_reads_standard_input_twice(querywatch: Querywatch) -> None:
    log = traffic.write(Path("history.ndjson"), traffic.benign(300, seed=1))
    assert querywatch("fit", log, "--profile", "a.qwp").exit_code == 0
    assert querywatch("fit", "-", "--profile", "b.qwp", stdin=log.read_bytes()).exit_code == 0
    assert Path("a.qwp").read_bytes() == Path("b.qwp").read_bytes()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (traffic.lines(traffic.benign(10, seed=2)), "no model has enough history"),
        ([], "holds no query"),
        ([b"junk"], "not a query log"),
    ],
)
def test_fit_without_enough_writes_nothing(querywatch: Querywatch, content: list[bytes], said: str) -> None:
    Path("history.ndjson").write_bytes(b"\n".join(content))
    result = querywatch("fit", "history.ndjson", "--profile", "p.qwp")
    assert result.exit_code == 2
    assert said in result.stderr.splitlines()[-1]
    assert not Path("p.qwp").exists()


@pytest.mark.parametrize(("output", "said"), [("h.ndjson", "one of the logs"), ("c.toml", "configuration")])
def test_fit_overwrites_no_input(querywatch: Querywatch, output: str, said: str) -> None:
    traffic.write(Path("h.ndjson"), traffic.benign(10, seed=1))
    Path("c.toml").write_text("[limits]\n")
    before = Path(output).read_bytes()
    result = querywatch("fit", "h.ndjson", "--config", "c.toml", "--profile", output)
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert said in line
    assert Path(output).read_bytes() == before


@pytest.mark.parametrize(
    ("place", "said"), [("none/p.qwp", "No such file or directory"), ("folder", "Is a directory")]
)
def test_fit_reads_nothing_for_a_profile_that_it_cannot_write(
    querywatch: Querywatch, place: str, said: str
) -> None:
    Path("folder").mkdir()
    traffic.write(Path("h.ndjson"), traffic.benign(10, seed=1))
    result = querywatch("fit", "h.ndjson", "--profile", place)
    assert result.exit_code == 2
    assert result.output == f"querywatch: cannot write the profile {place}: {said}\n"
    assert sorted(path.name for path in Path().iterdir()) == ["folder", "h.ndjson"]


def test_a_terminal_without_the_characters_gets_others() -> None:
    environment = os.environ | {"LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    command = [sys.executable, "-m", "detector", "replay", "sch\u00f6n.ndjson"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=False)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(b"querywatch: sch")
    assert b"No such file" in line
    shown = subprocess.run(
        [*command[:3], "demo", "--help"], cwd=ROOT, env=environment, capture_output=True, check=False
    )
    assert shown.returncode == 0
    shown.stdout.decode("ascii")


def test_check_says_what_to_do_and_no_secret(
    querywatch: Querywatch, toy_profile: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAFKA_PASSWORD", "hunter2-secret")
    Path("c.toml").write_text(
        f'[detection]\nprofile = "{toy_profile}"\n'
        '[kafka]\nbootstrap_servers = ["127.0.0.1:1"]\nsecurity_protocol = "SASL_PLAINTEXT"\n'
        'sasl_mechanism = "PLAIN"\nusername = "me"\npassword = "${KAFKA_PASSWORD}"\n'
        '[elasticsearch]\nhosts = ["http://elastic:hunter2-secret@127.0.0.1:1"]\ntimeout_seconds = 2\n'
        '[state]\ndirectory = "states"\n'
    )
    result = querywatch("check", "--config", "c.toml")
    assert result.exit_code == 2
    lines = result.stdout.splitlines()
    assert lines[0] == "ok      configuration: c.toml is valid"
    assert lines[1].startswith("ok      profile: toy 1-")
    assert (
        "can show 100 false alerts per 10,000 sessions, fewer are extrapolated; the budget is 1" in lines[1]
    )
    assert lines[2] == "ok      state directory: states can be written"
    assert stat.S_IMODE(Path("states").stat().st_mode) == 0o700
    assert lines[3] == "ok      sinks: alerts go to elasticsearch, dead letters to sqlite querywatch.sqlite"
    assert lines[4].startswith("FAILED  Kafka: ")
    assert "127.0.0.1:1" in lines[4]
    assert lines[5].startswith("FAILED  Elasticsearch: ")
    assert "hunter2" not in result.output


def test_check_finds_every_fault(querywatch: Querywatch) -> None:
    Path("c.toml").write_text(
        '[detection]\nprofile = "none.qwp"\n[state]\ndirectory = "c.toml"\n'
        '[sqlite]\npath = "no/x.sqlite"\n[kafka]\nstart = "monday"\n[sinks]\nalerts = ["elasticsearch"]\n'
    )
    result = querywatch("check", "--config", "c.toml")
    assert result.exit_code == 2
    for said in (
        "FAILED  profile: cannot read the profile none.qwp",
        "FAILED  state directory: state directory c.toml: cannot",
        "FAILED  sinks: elasticsearch.hosts: is empty",
        "FAILED  Kafka: kafka.start",
        "FAILED  database: ",
        "ok      Elasticsearch: not used",
    ):
        assert said in result.stdout


@pytest.mark.parametrize(
    ("detection", "said"),
    [
        ("", "prior-"),
        ("prior = false", "alerts begin after about 100 longer sessions"),
        ("learn = false", "learning is off"),
    ],
)
def test_check_says_what_judges_before_there_is_a_profile(
    querywatch: Querywatch, detection: str, said: str
) -> None:
    Path("c.toml").write_text(f"[detection]\n{detection}\n")
    result = querywatch("check", "--config", "c.toml")
    (line,) = [line for line in result.stdout.splitlines() if "profile:" in line]
    assert said in line
    assert ("prior-" in line) == (detection == "")


def test_check_looks_on_when_a_file_that_comes_with_it_is_gone(
    querywatch: Querywatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prior, "shipped", lambda: prior.load(Path("prior.npz")))
    result = querywatch("check")
    assert result.exit_code == 2
    assert "FAILED  profile: prior.npz: No such file or directory; it comes with querywatch" in result.stdout
    assert "database: " in result.stdout


def test_check_stops_at_a_configuration_that_cannot_be_read(querywatch: Querywatch) -> None:
    Path("c.toml").write_text("[kafka]\ntopik = 1\n")
    result = querywatch("check", "--config", "c.toml")
    assert result.exit_code == 2
    (line,) = result.stdout.splitlines()
    assert line.startswith("FAILED  configuration: kafka.topik")


def test_run_without_a_broker_is_one_line_and_code_2(querywatch: Querywatch) -> None:
    Path("c.toml").write_text('[kafka]\nbootstrap_servers = ["127.0.0.1:1"]\n')
    result = querywatch("run", "--config", "c.toml")
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1].startswith("querywatch: no Kafka broker answers at 127.0.0.1:1")


def test_version(querywatch: Querywatch) -> None:
    assert querywatch("version").stdout == querywatch("--version").stdout == f"querywatch {__version__}\n"


@pytest.mark.parametrize("command", ["replay", "fit", "run", "rekey", "resend", "check", "init", "demo"])
def test_help_teaches(querywatch: Querywatch, command: str) -> None:
    assert f" {command} " in querywatch("--help").stdout
    shown = querywatch(command, "--help")
    assert shown.exit_code == 0
    assert "--help" in shown.stdout


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom typer.testing import CliRunner\nfrom detector.cli import app\n"
        "assert CliRunner().invoke(app, ['replay', '--help']).exit_code == 0\n"
        "heavy = {'numba', 'sklearn', 'river', 'numpy', 'kafka', 'elasticsearch'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
