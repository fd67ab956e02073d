"""What an iterator gives, made by a thread of its own while the caller is at work on what came before."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator
from queue import Queue
from typing import NamedTuple, TypeVar

Item = TypeVar("Item")

DEPTH = 2
"""So many items wait at most, beside the one that is being made."""


class _End(NamedTuple):
    """There is no other item; `error`: what ended it."""

    error: BaseException | None


def ahead(items: Iterator[Item], depth: int = DEPTH) -> Generator[Item, None, None]:
    """The same items in the same order; whatever is raised in making one is raised here in its place.

    The thread has ended, and closed `items`, once this generator has ended or been closed.
    """
    made: Queue[Item | _End] = Queue(depth)
    left = threading.Event()

    def make() -> None:
        error: BaseException | None = None
        try:
            for item in items:
                made.put(item)
                if left.is_set():
                    break
            if isinstance(items, Generator):
                items.close()
        except BaseException as raised:
            error = raised
        made.put(_End(error))

    thread = threading.Thread(target=make, name="read ahead", daemon=True)
    thread.start()
    one: Item | _End | None = None
    try:
        while not isinstance(one := made.get(), _End):
            yield one
        if one.error is not None:
            raise one.error
    finally:
        left.set()
        while not isinstance(one, _End):  # the thread may wait for room
            one = made.get()
        thread.join()
