"""Where unpacked servers are kept between runs, outside the checkout."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

_ROOTS_CACHE = Path("/var/cache/querywatch")


def directory() -> Path:
    """`$QUERYWATCH_CACHE`, else `querywatch` in `$XDG_CACHE_HOME`, else `~/.cache/querywatch`.

    Root's servers run as another user, who must be able to read them: a folder that others cannot enter
    (root's home is one) gives way to the system's cache folder.
    """
    named = os.environ.get("QUERYWATCH_CACHE", "")
    xdg = os.environ.get("XDG_CACHE_HOME", "")
    home = Path(xdg) if xdg else Path.home() / ".cache"
    chosen = (Path(named) if named else home / "querywatch").absolute()
    return _ROOTS_CACHE if os.geteuid() == 0 and not _open_to_others(chosen) else chosen


def _open_to_others(path: Path) -> bool:
    return all(not p.exists() or p.stat().st_mode & 0o001 for p in (path, *path.parents))


def install(name: str, build: Callable[[Path], None]) -> Path:
    """Return the cached folder `name`, made by `build(empty folder)` if it is not there yet.

    It appears whole or not at all, and two processes that ask at once build it once: the second waits.
    """
    root = directory()
    target = root / name
    if target.is_dir():
        return target
    root.mkdir(parents=True, exist_ok=True)
    with (root / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if target.is_dir():
            return target
        for leftover in root.glob(f"{name}.partial-*"):  # of a build that was killed: we hold the lock
            shutil.rmtree(leftover)
        partial = Path(tempfile.mkdtemp(prefix=f"{name}.partial-", dir=root))
        try:
            build(partial)
            partial.chmod(0o755)
            partial.rename(target)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
    return target
