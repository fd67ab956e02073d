"""Where the environments of tools and peers are kept, beside those of `scripts/setup`."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """The folder that `scripts/setup` names."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(os.environ.get("QUERYWATCH_CACHE") or Path(base) / "querywatch")
