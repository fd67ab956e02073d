"""With hashed ids, the same alerts come under other names, and the names are nowhere else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.connectors.test_pseudonyms import KEY, pseudonym
from tests.detector.conftest import Querywatch


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    (tmp_path / "key").write_text(KEY + "\n")
    hashed = '["client_id", "session_id", "request_id", "source_ip"]'
    text = f'[privacy]\nclient_id_key = "${{file:{tmp_path}/key}}"\nhashed = {hashed}\n'
    path = tmp_path / "c.toml"
    path.write_text(text)
    return path


def test_alerts_are_the_same_under_other_names(
    querywatch: Querywatch, toy_log: Path, toy_profile: Path, tmp_path: Path, toml: Path
) -> None:
    judged = ("replay", toy_log, "--profile", toy_profile, "--frozen")
    querywatch(*judged, "--alerts", "plain.ndjson")
    result = querywatch(*judged, "--alerts", "hashed.ndjson", "--config", toml, "--db", "hashed.sqlite")
    assert result.exit_code == 0, result.output
    querywatch(*judged, "--alerts", "again.ndjson", "--config", toml)
    hashed = (tmp_path / "hashed.ndjson").read_text()
    assert hashed == (tmp_path / "again.ndjson").read_text()
    plain = [json.loads(line) for line in (tmp_path / "plain.ndjson").read_text().splitlines()]
    other = [json.loads(line) for line in hashed.splitlines()]
    assert plain
    assert len(plain) == len(other)
    for one, two in zip(plain, other, strict=True):
        assert two["user"]["id"] == two["related"]["user"][0] == pseudonym(one["user"]["id"])
        assert two["querywatch"]["trigger"]["request_id"] == pseudonym(
            one["querywatch"]["trigger"]["request_id"]
        )
        assert two["source"] == {"address": pseudonym("192.0.2.7")}
        for kept in ("event", "rule", "threat"):
            assert {k: v for k, v in one[kept].items() if k != "id"} == {
                k: v for k, v in two[kept].items() if k != "id"
            }
        assert one["_id"] != two["_id"]
    for name in ("hashed.ndjson", "hashed.sqlite"):
        content = (tmp_path / name).read_bytes()
        for told in (b"attacker-3", b"attack-3", b"192.0.2.7", KEY.encode()):
            assert told not in content
