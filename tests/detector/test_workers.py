"""The parent of several workers: what ends them, and with which exit code."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from detector import workers
from detector.config import Config, Kafka, State
from detector.errors import UsageError
from detector.workers import Workers, instance_id, run_workers
from tests.conftest import TopicFactory
from tests.servers.kafka import KafkaServer

WAIT = (
    "import os, signal, sys, time\n"
    "from pathlib import Path\n"
    "number, folder = int(sys.argv[-1]), Path(sys.argv[1])\n"
    "def stop(signum, frame):\n"
    "    (folder / f'{number}.stopped').write_text(str(signum))\n"
    "    sys.exit(0)\n"
    "for known in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):\n"
    "    signal.signal(known, stop)\n"
    "(folder / f'{number}.begun').touch()\n"
    "def all_begun(count):\n"
    "    while len(list(folder.glob('*.begun'))) < count:\n"
    "        time.sleep(0.01)\n"
)
"""Begins a worker that ends in order when told to, and writes down by which signal."""


def several(folder: Path, script: str) -> Workers:
    return Workers([sys.executable, "-c", WAIT + script, str(folder)])


def stopped(folder: Path) -> dict[str, int]:
    return {path.stem: int(path.read_text()) for path in folder.glob("*.stopped")}


def test_when_all_have_done_their_work_the_whole_ends_with_0(tmp_path: Path) -> None:
    assert several(tmp_path, "all_begun(3)").run(3) == 0
    assert len(list(tmp_path.glob("*.begun"))) == 3


@pytest.mark.parametrize(
    ("end", "code"), [("sys.exit(3)", 3), ("os.kill(os.getpid(), signal.SIGKILL)", 128 + signal.SIGKILL)]
)
def test_a_worker_that_fails_ends_all_with_its_code(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], end: str, code: int
) -> None:
    script = f"all_begun(3)\nif number == 2:\n    {end}\nsignal.pause()"
    assert several(tmp_path, script).run(3) == code
    assert stopped(tmp_path) == {"1": signal.SIGTERM, "3": signal.SIGTERM}
    said = capfd.readouterr()
    (failed,) = [line for line in (said.out + said.err).splitlines() if "worker failed, all stop" in line]
    assert f"exit_code={code}" in failed
    assert "worker=2" in failed


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_sent_on_and_ends_all_in_order(tmp_path: Path, number: signal.Signals) -> None:
    def tell() -> None:
        while len(list(tmp_path.glob("*.begun"))) < 2:
            time.sleep(0.01)
        os.kill(os.getpid(), number)

    teller = threading.Thread(target=tell)
    teller.start()
    assert several(tmp_path, "signal.pause()").run(2) == 0
    teller.join()
    assert stopped(tmp_path) == {"1": number, "2": number}


def test_a_signal_to_reload_is_sent_on_and_ends_nobody(tmp_path: Path) -> None:
    def tell() -> None:
        while len(list(tmp_path.glob("*.begun"))) < 2:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGHUP)

    teller = threading.Thread(target=tell)
    script = (
        "signal.signal(signal.SIGHUP, lambda *_: (folder / f'{number}.reloaded').touch())\n"
        "(folder / f'{number}.begun').touch()\n"
        "while len(list(folder.glob('*.reloaded'))) < 2:\n    time.sleep(0.01)\n"
    )
    before = WAIT.replace("(folder / f'{number}.begun').touch()\n", "")
    teller.start()
    assert Workers([sys.executable, "-c", before + script, str(tmp_path)]).run(2) == 0
    teller.join()
    assert stopped(tmp_path) == {}


def test_a_worker_that_hangs_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "STOP_SECONDS", 0.2)
    script = "all_begun(2)\nif number == 1:\n    sys.exit(5)\nwhile True:\n    try:\n        time.sleep(60)\n"
    hangs = script + "    except SystemExit:\n        pass\n"
    assert several(tmp_path, hangs).run(2) == 5
    assert stopped(tmp_path) == {"2": signal.SIGTERM}


def test_one_that_ends_in_order_leaves_the_others_alone(tmp_path: Path) -> None:
    script = "all_begun(2)\nif number == 2:\n    time.sleep(0.5)\n    (folder / 'worked').touch()"
    assert several(tmp_path, script).run(2) == 0
    assert (tmp_path / "worked").exists()
    assert stopped(tmp_path) == {}


def test_a_worker_stops_when_its_parent_is_gone() -> None:
    code = (
        "from detector.workers import stop_without_parent; import time; stop_without_parent(); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(timeout=30) == -signal.SIGTERM


@pytest.mark.servers
def test_a_state_directory_has_one_set_of_workers_with_names_of_its_own(
    tmp_path: Path, kafka_server: KafkaServer, kafka_topic: TopicFactory
) -> None:
    def config(name: str) -> Config:
        kafka = Kafka(bootstrap_servers=(kafka_server.bootstrap,), topic=topic)
        return Config(kafka=kafka, state=State(directory=str(tmp_path / name)))

    topic = kafka_topic()
    for name in ("a", "b"):
        claim = workers._claim(config(name))
        with pytest.raises(UsageError, match=f"process {os.getpid()} already runs workers"):
            run_workers(2, config(name), [])
        claim.release()
    names = [instance_id(config(name), worker) for name in ("a", "b") for worker in (1, 2)]
    assert len(set(names)) == 4
    workers._claim(config("a")).release()
    assert instance_id(config("a"), 1) == names[0]
