"""Fetching from the Maven registry with the machine's own `mvn`, into a repository of our own."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from xml.sax.saxutils import escape

from tests.servers.errors import ServerError

_PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1"
_SECONDS = 1800  # the largest download is 0.9 GB

_DEPENDENCY = "<dependency><groupId>{}</groupId><artifactId>{}</artifactId><version>{}</version></dependency>"
_PROJECT = (
    '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>'
    "<groupId>querywatch</groupId><artifactId>servers</artifactId><version>1</version>"
    "<packaging>pom</packaging><dependencies>{}</dependencies></project>"
)


def copy_jars(coordinates: Sequence[str], into: Path) -> None:
    """Copy the jars of `group:artifact:version` coordinates, and all they depend on, into a folder."""
    with TemporaryDirectory(dir=into, prefix="maven-") as work:
        project = Path(work, "pom.xml")
        listed = "".join(_DEPENDENCY.format(*map(escape, c.split(":"))) for c in coordinates)
        project.write_text(_PROJECT.format(listed), encoding="utf-8")
        goal = [f"{_PLUGIN}:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={into}"]
        _run(["-f", str(project), *goal], Path(work), what=coordinates[0])


def get_file(coordinate: str, into: Path) -> Path:
    """Fetch one `group:artifact:version:packaging`; the file is inside `into`, which the caller removes."""
    group, artifact, version, packaging = coordinate.split(":")
    _run([f"{_PLUGIN}:get", f"-Dartifact={coordinate}", "-Dtransitive=false"], into, what=coordinate)
    folder = into.joinpath("repository", *group.split("."), artifact, version)
    return folder / f"{artifact}-{version}.{packaging}"


def _run(arguments: list[str], work: Path, what: str) -> None:
    mvn = shutil.which("mvn")
    if mvn is None:
        raise ServerError(f"cannot fetch {what}: no `mvn` here; install Maven (Debian: maven)")
    sys.stderr.write(f"Fetching {what} through Maven; done once\n")
    # Not the user's own ~/.m2: what is only unpacked once would stay there for good.
    options = ["-B", "-ntp", "-Dstyle.color=never", f"-Dmaven.repo.local={work / 'repository'}"]
    try:
        done = subprocess.run(
            [mvn, *options, *arguments],
            cwd=work,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ServerError(f"fetching {what} took over {_SECONDS} s; is the registry reachable?") from error
    if done.returncode != 0:
        tail = "\n".join(done.stdout.decode(errors="replace").splitlines()[-20:])
        raise ServerError(f"Maven failed to fetch {what} (exit code {done.returncode}), at last:\n{tail}")
