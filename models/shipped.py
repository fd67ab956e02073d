"""Files that come with querywatch: what was learned elsewhere, as named arrays."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np

from models.base import Arrays

Made = TypeVar("Made")
_REMEDY = "it comes with querywatch: install that again"


def read(path: Path, make: Callable[[Arrays], Made]) -> Made:
    """What `make` makes of the arrays that the file holds.

    Raises OSError, which says what to do, where the file is missing, damaged or of another version.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            return make({name: stored[name] for name in stored.files})
    except MemoryError:
        raise
    except OSError as error:
        raise OSError(error.errno, f"{error.strerror}; {_REMEDY}", str(path)) from error
    except Exception as error:  # zipfile and numpy have a dozen kinds for bytes that they did not write
        problem = f"is damaged or of another version ({type(error).__name__}); {_REMEDY}"
        raise OSError(errno.EBADMSG, problem, str(path)) from error
