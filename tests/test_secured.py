"""The commands against servers behind TLS and sign-in; afterwards no secret is found anywhere."""

from __future__ import annotations

import base64
import os
import ssl
import stat
import subprocess
import sys
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaProducer

from tests import traffic
from tests.connectors.webhook_receiver import Answer, Receiver
from tests.servers.certificates import Authority
from tests.servers.secured_elasticsearch import SecuredElasticsearchServer
from tests.servers.secured_kafka import SecuredKafkaServer

pytestmark = [pytest.mark.servers, pytest.mark.timeout(600)]
ROOT = Path(__file__).resolve().parent.parent
CONFIG = """\
[detection]
profile = "{profile}"
learn = false
[kafka]
bootstrap_servers = ["{kafka}"]
topic = "{topic}"
group_id = "group-{topic}"
client = "{client}"
security_protocol = "SASL_SSL"
ca_file = "{kafka_ca}"
sasl_mechanism = "SCRAM-SHA-512"
username = "{user}"
password = "${{KAFKA_PASSWORD}}"
[health]
port = 0
[elasticsearch]
hosts = ["{elasticsearch}"]
namespace = "{namespace}"
ca_file = "{elasticsearch_ca}"
api_key = "${{file:{secrets}/api-key}}"
[webhook]
url = "${{WEBHOOK_URL}}"
ca_file = "{webhook_ca}"
token = "${{file:{secrets}/token}}"
signing_key = "${{WEBHOOK_SIGNING_KEY}}"
[sinks]
optional = ["webhook"]
"""


class Deployment:
    """A folder with a configuration, a topic and a namespace; everything that its commands print is kept."""

    def __init__(
        self,
        folder: Path,
        secrets: Path,
        profile: Path,
        kafka: SecuredKafkaServer,
        elasticsearch: SecuredElasticsearchServer,
        webhook: Receiver,
        webhook_ca: Path,
        client: str,
        umask: int,
    ) -> None:
        self.webhook = webhook
        self.token, self.signing_key = "marked-token", "whsec_bWFya2VkIHNpZ25pbmcga2V5IG9mIGEgdGVzdA=="
        self.folder, self.kafka, self.elasticsearch, self.umask = folder, kafka, elasticsearch, umask
        self.topic, self.namespace = f"test-{uuid.uuid4().hex}", f"test_{uuid.uuid4().hex}"
        self.password, self.api_key = kafka.password, elasticsearch.api_key("detector")
        self.said: list[bytes] = []
        self._secrets = secrets
        kafka.create_topic(self.topic)
        folder.joinpath("querywatch.toml").write_text(
            CONFIG.format(
                profile=profile,
                kafka=kafka.address(),
                topic=self.topic,
                client=client,
                kafka_ca=kafka.ca_file,
                user=kafka.user,
                elasticsearch=elasticsearch.url,
                namespace=self.namespace,
                elasticsearch_ca=elasticsearch.ca_file,
                secrets=secrets,
                webhook_ca=webhook_ca,
            )
        )

    def send(self, values: Iterable[bytes]) -> None:
        producer = KafkaProducer(bootstrap_servers=self.kafka.bootstrap, acks="all")
        for value in values:
            producer.send(self.topic, value)
        producer.flush()
        producer.close()

    def querywatch(self, *arguments: str) -> tuple[int, list[str], list[str]]:
        """Exit code, and the lines on standard output and on standard error."""
        (self._secrets / "api-key").write_text(self.api_key + "\n")
        (self._secrets / "token").write_text(self.token + "\n")
        secrets = {
            "KAFKA_PASSWORD": self.password,
            "WEBHOOK_URL": self.webhook.url,
            "WEBHOOK_SIGNING_KEY": self.signing_key,
        }
        done = subprocess.run(
            [sys.executable, "-m", "detector", *arguments, "--config", "querywatch.toml"],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), **secrets},
            capture_output=True,
            timeout=240,
            umask=self.umask,
            check=False,
        )
        self.said += [done.stdout, done.stderr]
        return done.returncode, done.stdout.decode().splitlines(), done.stderr.decode().splitlines()

    def alerts(self) -> list[dict[str, Any]]:
        stream = f"logs-querywatch.alerts-{self.namespace}"
        self.elasticsearch.ask("POST", f"/{stream}/_refresh")
        hits = self.elasticsearch.ask("GET", f"/{stream}/_search?size=1000")["hits"]["hits"]
        return [hit["_source"] for hit in hits]

    def modes(self) -> Mapping[str, int]:
        """Every file and folder that the commands made, with its permissions."""
        made = sorted(p for p in self.folder.rglob("*") if p.name != "querywatch.toml")
        return {str(p.relative_to(self.folder)): stat.S_IMODE(p.stat().st_mode) for p in made}


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("profile")
    traffic.write(folder / "history.ndjson", traffic.benign(300, seed=1))
    command = [sys.executable, "-m", "detector", "fit", "history.ndjson", "--profile", "toy.qwp"]
    subprocess.run(command, cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True)
    return folder / "toy.qwp"


@contextmanager
def receiver(folder: Path) -> Iterator[tuple[Receiver, Path]]:
    """A webhook's receiver over TLS, and its authority."""
    authority = Authority(folder, "webhook")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.certify("receiver").both)
    with Receiver(tls=context) as made:
        yield made, authority.file


@pytest.mark.parametrize(("client", "umask"), [("kafka-python", 0o000), ("confluent", 0o022)])
def test_everything_works_and_tells_no_secret(
    tmp_path: Path,
    profile: Path,
    secured_kafka: SecuredKafkaServer,
    secured_elasticsearch: SecuredElasticsearchServer,
    client: str,
    umask: int,
) -> None:
    folder, secrets = tmp_path / "work", tmp_path / "secrets"
    folder.mkdir()
    secrets.mkdir()
    with receiver(tmp_path) as (webhook, webhook_ca):
        it = Deployment(
            folder, secrets, profile, secured_kafka, secured_elasticsearch, webhook, webhook_ca, client, umask
        )
        _right_then_wrong(it)


def _right_then_wrong(it: Deployment) -> None:
    """Every command with right credentials, then with wrong ones; then the search for all of them."""
    folder, webhook = it.folder, it.webhook
    right = {it.password, it.api_key, it.elasticsearch.password, it.token, it.signing_key}
    right.add(webhook.url.rpartition("/")[2])
    queries = traffic.inversion(seed=3)
    it.send([*traffic.lines(queries), b"not json"])

    code, out, err = it.querywatch("check")
    assert code == 0, out
    assert err == []
    assert sum(line.startswith("ok ") for line in out) == len(out)
    code, _, err = it.querywatch("run", "--until-end")
    assert code == 0, err
    assert {alert["user"]["id"] for alert in it.alerts()} == {"attacker-3"}
    assert {alert.document["user"]["id"] for alert in webhook.alerts} == {"attacker-3"}
    taken = webhook.requests[0].headers
    assert taken["Authorization"] == "Bearer marked-token"
    assert taken["webhook-signature"].startswith("v1,")

    wrong_password, wrong_key = "marked-wrong-password", base64.b64encode(b"id:marked-wrong-key").decode()
    it.password, it.api_key, it.token = wrong_password, wrong_key, "marked-wrong-token"
    # It tells whom it does not know, with all that it was sent.
    webhook.act = lambda request: Answer(401, f"{request.path} {request.headers}".encode())
    webhook.greeting = Answer(401, b"marked-wrong-token")
    code, out, err = it.querywatch("check")
    assert (code, err) == (2, [])
    failed = [line for line in out if line.startswith("FAILED")]
    assert len(failed) == 3
    assert "Kafka: Kafka at" in failed[0]
    assert "refuses the credentials of user 'detector'" in failed[0]
    assert "Elasticsearch: elasticsearch: https://" in failed[1]
    assert "refuses the API key: it is wrong, expired or invalidated" in failed[1]
    assert "webhook: webhook: https://127.0.0.1:" in failed[2]
    assert "answers 401: ***; check webhook.token" in failed[2]

    code, out, err = it.querywatch("run", "--until-end")
    assert (code, out, len(err)) == (2, [], 1)
    assert err[0].startswith("querywatch: Kafka at ")
    assert "refuses the credentials" in err[0]
    it.password = it.kafka.password
    code, out, err = it.querywatch("run", "--until-end")
    said = [line for line in err if not line.startswith("{")]  # the others are the log's, as JSON
    assert (code, out, len(said)) == (2, [], 1)
    assert said[0].startswith("querywatch: elasticsearch: https://")
    assert "refuses the API key: it is wrong, expired or invalidated" in said[0]
    assert not [line for line in err if "trying again" in line]

    everything = {f"output {i}": text for i, text in enumerate(it.said)}
    everything |= {str(p): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    everything["alerts"] = repr(it.alerts()).encode()
    assert {"querywatch.sqlite", "querywatch-state", f"querywatch-state/{it.topic}-0.state"} <= set(
        it.modes()
    )
    for secret in right | {wrong_password, wrong_key, "marked-wrong-token"}:
        for form in (secret, base64.b64encode(secret.encode()).decode(), _decoded(secret)):
            assert not [where for where, text in everything.items() if form.encode() in text]

    for name, mode in it.modes().items():
        assert mode == (0o700 if (folder / name).is_dir() else 0o600), name


def _decoded(secret: str) -> str:
    """The part of an encoded API key that is secret, or the secret itself."""
    try:
        return base64.b64decode(secret, validate=True).decode().partition(":")[2] or secret
    except ValueError:
        return secret
