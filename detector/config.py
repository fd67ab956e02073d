"""The configuration: one TOML file, read into frozen structs; an unknown key is an error with its path.

Every option has a default that works, so `replay` needs no file at all. Secrets are never written into
the file: `${NAME}` in a value is taken from the mapping handed to `load` (the process environment, at the
edge), `${file:PATH}` from a file, and a missing one is an error. What is marked `Secret` shows in no text
that is made of a configuration.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from detector.config_section import Positive, Secret, Section, explained
from detector.errors import ConfigError
from detector.substitution import Substitution


class Detection(Section, frozen=True):
    """What may be called an attack."""

    false_alert_budget: Annotated[float, Meta(gt=0, le=100)] = 1.0
    """False alerts accepted per 10,000 benign sessions."""
    profile: str = ""
    """Profile file written by `querywatch fit`; empty: learn from the traffic itself."""
    learn: bool = True
    """Go on learning from traffic that did not alert. False freezes the profile."""
    prior: bool = True
    """While a model has no profile and one is learned: judge by what other models' traffic looks like. False:
    no opinion until there is one, which then judges in hindsight."""
    tenant: str = "default"
    """Name of this deployment in alert ids, where records name no tenant."""
    declared_clients: tuple[str, ...] = ()
    """Client ids of explainers (LIME, SHAP), red teams and the like, which search by design. They raise no
    alert, are counted as suppressed, and do not teach what is normal. Who gets such an id searches unseen."""


class Sessions(Section, frozen=True):
    """How queries become sessions, and how much memory they may take."""

    gap_minutes: Annotated[float, Meta(gt=0)] = 30.0
    """Silence of one client, in the records' own time, that ends a session."""
    memory_mb: Annotated[int, Meta(ge=16)] = 1024
    """Bound on the state of sessions, clients and campaigns of a shard (a partition, or the replayed files),
    shared by its models; beyond it the least recently used sessions are evicted."""


class Limits(Section, frozen=True):
    """Records beyond these are dead letters."""

    record_bytes: Positive = 4 * 1024 * 1024
    """Size of one record, uncompressed."""
    nesting: Positive = 16
    """Depth of lists and objects in a record."""
    input_length: Positive = 262_144
    """Numbers in one input."""
    future_seconds: Annotated[float, Meta(ge=0)] = 86_400.0
    """How far a record's time may lie ahead of the broker's timestamp (Kafka) or of the clock (files)."""


class Pipeline(Section, frozen=True):
    """How work is cut. Changes no alert."""

    batch_queries: Positive = 4096
    """Queries read and processed at one go: larger is faster, smaller alerts sooner on a slow topic."""


class Kafka(Section, frozen=True):
    """The topic of the query log."""

    bootstrap_servers: tuple[str, ...] = ("localhost:9092",)
    """Addresses of some brokers, host:port."""
    topic: str = "model-queries"
    """Topic with one query a record, keyed by client, so that a client's queries stay in one partition."""
    group_id: str = "querywatch"
    """Consumer group; its offsets are for lag monitoring, the saved state knows where to go on."""
    start: str = "earliest"
    """Where the first start begins: `earliest`, `latest`, or an RFC 3339 time."""
    client: Literal["kafka-python", "confluent"] = "kafka-python"
    """Client library; confluent is several times faster and is installed as an extra."""
    rebalance: Literal["cooperative", "eager"] = "cooperative"
    """How the group shares partitions out anew, the same for all its members. `cooperative`: few move, and
    what a member keeps is read on meanwhile. `eager`: all wait, as in earlier releases."""
    dead_letter_topic: str = ""
    """Empty: dead letters go to the embedded database."""
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    """How the brokers are spoken to."""
    ca_file: str = ""
    """PEM file of the certificate authority that signed the brokers' certificates; empty: the system's."""
    certificate_file: str = ""
    """PEM file of the certificate to show to the brokers (mutual TLS); empty: none."""
    key_file: str = ""
    """PEM file of its key; empty: it is in `certificate_file` too."""
    key_password: Secret = ""
    """Password of the key, if it is encrypted."""
    sasl_mechanism: Literal["", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] = ""
    """How the detector signs in; empty: not at all."""
    username: str = ""
    """Name to sign in with."""
    password: Secret = ""
    """Password to sign in with; better taken from the environment or a file."""
    oauth_token_file: str = ""
    """File with the token for OAUTHBEARER, read again at each connection: something else keeps it fresh."""


class Elasticsearch(Section, frozen=True):
    """Where the SIEM picks alerts up. No hosts: not used."""

    hosts: tuple[str, ...] = ()
    """Addresses such as https://elastic.example:9200."""
    namespace: Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_.]{0,99}$")] = "default"
    """Alerts go to the data stream logs-querywatch.alerts-NAMESPACE."""
    api_key: Secret = ""
    """API key, as Elasticsearch prints it (encoded)."""
    username: str = ""
    """Name for basic authentication, instead of an API key."""
    password: Secret = ""
    """Password for basic authentication."""
    ca_file: str = ""
    """PEM file of the certificate authority to trust; empty: the system's."""
    certificate_file: str = ""
    """PEM file of the certificate to show to the cluster (mutual TLS); empty: none."""
    key_file: str = ""
    """PEM file of its key; empty: it is in `certificate_file` too."""
    key_password: Secret = ""
    """Password of the key, if it is encrypted."""
    timeout_seconds: Annotated[float, Meta(gt=0)] = 30.0
    """How long one request may take."""


class Webhook(Section, frozen=True):
    """An address that takes alerts by HTTP POST: of a SOAR, a log shipper, a collector. No url: not used."""

    url: Secret = ""
    """Address such as https://soar.example/hook; the path may be a secret. Redirects are not followed."""
    format: Literal["json", "array", "ndjson"] = "json"
    """Body of a request: one alert as a JSON object, several in an array, or several as a line each."""
    batch_alerts: Annotated[int, Meta(ge=1, le=1000)] = 100
    """Alerts of one request at most, for `array` and `ndjson`; 1 MB at most unless one alert has more."""
    token: Secret = ""
    """Bearer token or API key that lets the detector in."""
    header: str = "Authorization"
    """Header that carries the token."""
    scheme: str = "Bearer"
    """Word before the token: "Bearer", "Splunk"; empty: the token alone."""
    username: str = ""
    """Name for basic authentication, instead of a token."""
    password: Secret = ""
    """Password for basic authentication."""
    signing_key: Annotated[
        str, Meta(pattern=r"^(whsec_[A-Za-z0-9+/]{32,}={0,2})?$", extra={"secret": True})
    ] = ""
    """Key of the signature (HMAC-SHA256, as Standard Webhooks has it): whsec_ and base64 of 24 bytes or more.
    Empty: requests are not signed."""
    ca_file: str = ""
    """PEM file of the certificate authority to trust; empty: the system's."""
    certificate_file: str = ""
    """PEM file of the certificate to show to the receiver (mutual TLS); empty: none."""
    key_file: str = ""
    """PEM file of its key; empty: it is in `certificate_file` too."""
    key_password: Secret = ""
    """Password of the key, if it is encrypted."""
    timeout_seconds: Annotated[float, Meta(gt=0)] = 10.0
    """How long to wait for a connection, and then for an answer."""


class Sqlite(Section, frozen=True):
    """The embedded database of alerts and dead letters."""

    path: str = "querywatch.sqlite"
    """File; it is made when it is not there."""


class Sinks(Section, frozen=True):
    """Several places for alerts at once, each with its own queue and progress."""

    alerts: tuple[Literal["elasticsearch", "sqlite", "webhook"], ...] = ()
    """Places: "elasticsearch", "sqlite", "webhook". Empty: Elasticsearch where it has hosts, else the
    database; and the webhook where it has a url."""
    optional: tuple[Literal["elasticsearch", "webhook"], ...] = ()
    """Those of them that must hold back no other: when the queue of one is full, reading goes on and what
    waits for it becomes dead letters (sink_down) at once; wrong credentials do not end the start."""
    queue_alerts: Positive = 10_000
    """Alerts and dead letters that may wait for one place in memory; when it is full, reading pauses."""
    hold_back_seconds: Annotated[float, Meta(ge=0)] = 3600.0
    """How long a place that is down, while another takes alerts, may hold back saving and, with its queue
    full, reading. What waits for it then becomes dead letters (sink_down). 0: for as long as it takes."""


class Health(Section, frozen=True):
    """What monitoring asks over HTTP (/health, /ready, /metrics), and when the detector alerts on itself."""

    address: str = "127.0.0.1"
    """Address to listen at; there is no password, so keep it inside."""
    port: Annotated[int, Meta(ge=0, le=65535)] = 9464
    """Port to listen at; 0: none."""
    stuck_seconds: Annotated[float, Meta(gt=0)] = 60.0
    """After this long without a turn of the loop, /health says that the process hangs."""
    no_input_seconds: Annotated[float, Meta(ge=0)] = 3600.0
    """Self-alert when no record came for so long; 0: never. Choose more than the longest quiet hour here."""
    behind_records: Positive = 100_000
    """Self-alert when at least so many records wait, and did not become fewer in `behind_seconds`."""
    behind_seconds: Annotated[float, Meta(gt=0)] = 300.0
    """See `behind_records`."""
    evicted_share: Annotated[float, Meta(gt=0)] = 0.5
    """Self-alert when in `eviction_seconds` so many sessions were evicted, as a share of those kept; for
    suspicious sessions one is enough."""
    eviction_seconds: Annotated[float, Meta(gt=0)] = 600.0
    """See `evicted_share`."""
    flood_alerts: Positive = 100
    """Self-alert when in `flood_seconds` so many alerts were raised: more than people can read one by one."""
    flood_seconds: Annotated[float, Meta(gt=0)] = 600.0
    """See `flood_alerts`."""
    sink_down_seconds: Annotated[float, Meta(gt=0)] = 60.0
    """Self-alert when a place for alerts or dead letters takes nothing for so long."""
    unsaved_seconds: Annotated[float, Meta(gt=0)] = 60.0
    """Self-alert when state cannot be saved for so long."""


class State(Section, frozen=True):
    """Where `run` keeps session state and offsets between starts."""

    directory: str = "querywatch-state"
    """Directory of one file a partition, readable by its owner only."""
    save_seconds: Annotated[float, Meta(gt=0)] = 30.0
    """Time between two saves; what came after the last one is read again after a crash."""


class Privacy(Section, frozen=True):
    """Ids that tell who somebody is, as keyed hashes in everything but dead letters."""

    client_id_key: Annotated[str, Meta(pattern=r"^(.{16,})?$", extra={"secret": True})] = ""
    """Key of the hash (HMAC-SHA256), from the environment or a file; empty: ids stay as they are. Another
    key makes other ids: open sessions and episodes begin anew."""
    hashed: tuple[Literal["client_id", "session_id", "request_id", "source_ip"], ...] = (
        "client_id",
        "session_id",
    )
    """Which fields are hashed: some of client_id, session_id, request_id, source_ip."""


class Config(Section, frozen=True):
    """The whole configuration."""

    detection: Detection = Detection()
    sessions: Sessions = Sessions()
    limits: Limits = Limits()
    pipeline: Pipeline = Pipeline()
    kafka: Kafka = Kafka()
    elasticsearch: Elasticsearch = Elasticsearch()
    webhook: Webhook = Webhook()
    sqlite: Sqlite = Sqlite()
    sinks: Sinks = Sinks()
    health: Health = Health()
    state: State = State()
    privacy: Privacy = Privacy()


def parse(text: str, variables: Mapping[str, str]) -> Config:
    """Read a configuration from TOML text.

    Raises ConfigError with the key's path for wrong TOML, unknown keys, wrong types and values out of
    range, and for a variable or file that is not there.
    """
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError("", f"not valid TOML: {error}") from error
    substitution = Substitution(variables)
    try:
        return msgspec.convert(substitution.apply(tree, ""), Config)
    except msgspec.ValidationError as error:
        problem, _, where = substitution.hide(str(error)).partition(" - at `$")
        path = where.rstrip("`").lstrip(".")
        unknown = re.search(r"unknown field `([^`]*)`", problem)
        if unknown:
            path = f"{path}.{unknown.group(1)}" if path else unknown.group(1)
            problem = "unknown key; `querywatch init` prints every key there is"
        raise ConfigError(path, explained(problem, Config, path)) from None


def load(path: Path, variables: Mapping[str, str]) -> Config:
    """Read a configuration file. Raises ConfigError naming the file and the key."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        problem = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise ConfigError("", f"cannot read the configuration {path}: {problem}") from error
    try:
        return parse(text, variables)
    except ConfigError as error:
        raise ConfigError(error.path, f"{str(error).removeprefix(error.path + ': ')} (in {path})") from error
