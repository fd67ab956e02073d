"""(b) of the peers: Quix Streams, in an environment that is made here on first use; see `quix_peer.py`."""

from __future__ import annotations

import json
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

from benchmarks.environments import cache_folder
from benchmarks.throughput.prepared import run

LOCK = Path(__file__).parents[2] / "requirements" / "quix.lock"


def quix(bootstrap: str, topic: str, queries: int) -> float:
    """Processor seconds of so many queries of a topic."""
    script = Path(__file__).with_name("quix_peer.py")
    said = run([str(environment()), str(script), bootstrap, topic, str(queries)]).output
    return float(json.loads(said.splitlines()[-1])["seconds"])


def environment() -> Path:
    """The Python of the environment that `requirements/quix.lock` describes; made, if it is not there."""
    folder = cache_folder() / f"venv-quix-{sha256(LOCK.read_bytes()).hexdigest()[:16]}"
    python = folder / "bin" / "python"
    if not (folder / "complete").exists():
        print(f"installing Quix Streams into {folder}; done once", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "--require-hashes", "-r", str(LOCK)], check=True)
        (folder / "complete").touch()
    return python
