"""Finding a JDK that is new enough; the default `java` need not be."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.servers.errors import ServerError

_FOLDERS = (
    "/usr/lib/jvm",
    "/usr/java",
    "/opt/java",
    "/Library/Java/JavaVirtualMachines",
)


def find_jdk(minimum: int, user: str | None = None) -> Path:
    """Home of the first JDK of at least that major version which `user` (default: ourselves) can run.

    Looks at `$JAVA_HOME`, `java` on the PATH, then where packages put JDKs.
    """
    for home in _candidates():
        if _major_version(home / "bin" / "java", user) >= minimum:
            return home
    raise ServerError(
        f"no Java {minimum} or later found in JAVA_HOME, PATH or {', '.join(_FOLDERS)}; "
        f"install a JDK {minimum}+ (Debian: apt-get install openjdk-{minimum}-jdk-headless, or Temurin)"
    )


def _candidates() -> Iterator[Path]:
    named = os.environ.get("JAVA_HOME", "")
    if named:
        yield Path(named)
    found = shutil.which("java")
    if found:
        yield Path(found).resolve().parent.parent
    for folder in (*map(Path, _FOLDERS), Path.home() / ".sdkman" / "candidates" / "java"):
        for java in sorted(p for g in ("*/bin/java", "*/Contents/Home/bin/java") for p in folder.glob(g)):
            yield java.parent.parent


def _major_version(java: Path, user: str | None) -> int:
    """25 of a Java 25; 0 of what does not run."""
    try:
        done = subprocess.run(
            [java, "-version"],
            capture_output=True,
            text=True,
            user=user,
            cwd="/",
            timeout=30,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return 0
    version = re.search(r'version "(\d+)', done.stderr)
    return int(version.group(1)) if version else 0
