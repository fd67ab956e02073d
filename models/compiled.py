"""`jit`: compile a kernel with Numba once and cache it on disk for the next start.

Numba's cache notices an edit of the file that holds a kernel, but not of a callee in another file, and
would go on running the old code. So the cache directory is named after a hash of every kernel source.
The cache is private (0700), because Numba reads it back as code.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

import numba

P = ParamSpec("P")
R = TypeVar("R")

_NUMBA: Any = numba.config
_ROOT = Path(__file__).resolve().parent.parent
_KERNEL_FOLDERS = ("models", "detector/features", "detector", "connectors/formats")


def _sources_digest() -> str:
    digest = hashlib.sha256(numba.__version__.encode())
    for folder in _KERNEL_FOLDERS:
        for path in sorted((_ROOT / folder).glob("*.py")):
            text = path.read_bytes()
            if b"jit" in text:
                digest.update(path.name.encode() + b"\0" + text)
    return digest.hexdigest()[:16]


def _private_cache() -> bool:
    """Point Numba at the cache directory of these sources; False when no place is writable."""
    configured = _NUMBA.CACHE_DIR
    try:
        base = Path(configured) if configured else Path.home() / ".cache" / "querywatch" / "kernels"
        folder = base / _sources_digest()
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except (OSError, RuntimeError):
        return False
    _NUMBA.CACHE_DIR = str(folder)
    return True


_CACHED = _private_cache()


def jit(function: Callable[P, R]) -> Callable[P, R]:
    """Compile `function` in nopython mode; exact arithmetic (no reordering), so results are repeatable."""
    return cast(Callable[P, R], numba.njit(function, cache=_CACHED, fastmath=False, error_model="numpy"))
