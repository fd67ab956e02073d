"""The system's memory is told what is not in use."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest

HOLES = """
from pathlib import Path
from detector.collector import calm_collector, give_back_holes
calm_collector()
pages = lambda: int(Path("/proc/self/statm").read_text().split()[1])
held = [bytes(range(256)) * 400 for _ in range(400)]
del held[::2]
before = pages()
give_back_holes()
print(before - pages())
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="the system's library is not glibc")
def test_memory_between_what_is_in_use_goes_back_to_the_system() -> None:
    """In a process of its own, whose heap nobody else has shaped."""
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", HOLES], capture_output=True, text=True, check=True, cwd=root, timeout=60
    )
    given_back = int(done.stdout) * os.sysconf("SC_PAGE_SIZE")
    assert given_back > 200 * 100_000 / 2
