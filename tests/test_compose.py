"""docker-compose.yml is valid, pinned and fits the code; there is no container engine to ask."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from detector import config
from tests.servers import elasticsearch, kafka

ROOT = Path(__file__).parents[1]
CONFIG = "/etc/querywatch/querywatch.toml"


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    """The parsed file."""
    parsed: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    return parsed


@pytest.fixture(scope="module")
def settings() -> config.Config:
    """The configuration that the detector's container mounts."""
    return config.parse((ROOT / "docker" / "querywatch.toml").read_text(encoding="utf-8"), {})


def test_the_file_follows_the_compose_specification(compose: dict[str, Any]) -> None:
    schema = json.loads((ROOT / "tests" / "data" / "compose-spec.json").read_text(encoding="utf-8"))
    validator = jsonschema.Draft7Validator(schema)
    assert [f"{error.json_path}: {error.message}" for error in validator.iter_errors(compose)] == []
    broken = {**compose, "services": {"kafka": {"imagee": "apache/kafka"}}}
    assert not validator.is_valid(broken)


def test_every_service_says_whether_it_is_healthy(compose: dict[str, Any]) -> None:
    without = [
        name
        for name, service in compose["services"].items()
        if not service.get("healthcheck", {}).get("test")
    ]
    assert without == []


def test_images_are_pinned_to_the_versions_that_the_tests_run(compose: dict[str, Any]) -> None:
    images = {name: service["image"] for name, service in compose["services"].items()}
    assert [image for image in images.values() if not re.search(r":\d+\.\d+\.\d+$", image)] == []
    assert images["kafka"].endswith(f":{kafka.VERSION}")
    assert images["elasticsearch"].endswith(f":{elasticsearch.VERSION}")


def test_nothing_listens_beyond_this_machine(compose: dict[str, Any]) -> None:
    ports = [port for service in compose["services"].values() for port in service.get("ports", [])]
    assert ports
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []


def test_the_detector_waits_for_both_servers(compose: dict[str, Any]) -> None:
    needed = compose["services"]["detector"]["depends_on"]
    assert {name: need["condition"] for name, need in needed.items()} == {
        "kafka": "service_healthy",
        "elasticsearch": "service_healthy",
    }


def test_the_configuration_names_the_services_of_the_network(
    compose: dict[str, Any], settings: config.Config
) -> None:
    advertised = compose["services"]["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"].split(",")
    assert [f"INSIDE://{server}" for server in settings.kafka.bootstrap_servers] == advertised[:1]
    assert f"--topic={settings.kafka.topic}" in compose["services"]["kafka"]["healthcheck"]["test"]
    assert settings.elasticsearch.hosts == ("http://elasticsearch:9200",)


def test_the_detector_reads_that_configuration_and_keeps_its_state_on_a_volume(
    compose: dict[str, Any], settings: config.Config
) -> None:
    detector = compose["services"]["detector"]
    assert detector["command"] == ["querywatch", "run", "--config", CONFIG]
    mounts = dict(volume.split(":")[:2] for volume in detector["volumes"])
    assert mounts["./docker/querywatch.toml"] == CONFIG
    assert mounts.keys() & compose["volumes"].keys() == {"detector-state"}
    for path in (settings.state.directory, settings.sqlite.path):
        assert Path(path).is_relative_to(mounts["detector-state"])


def test_used_volumes_are_declared(compose: dict[str, Any]) -> None:
    used = {
        v.split(":")[0] for s in compose["services"].values() for v in s["volumes"] if not v.startswith(".")
    }
    assert used == set(compose["volumes"])


def test_the_image_installs_the_lock_file_and_runs_without_rights() -> None:
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    assert any("--require-hashes -r requirements/run.lock" in line for line in lines)
    user = lines.index("USER querywatch")
    assert not [line for line in lines[user + 1 :] if line.startswith("USER")]
    copied = [source for line in lines if line.startswith("COPY ") for source in line.split()[1:-1]]
    assert {"detector", "models", "connectors", "pyproject.toml"} <= set(copied)
