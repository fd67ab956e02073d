"""What a person reads on the terminal, and how a command ends when that, or anything else, goes wrong."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

import typer

from detector import interrupt


def prepare() -> None:
    """Let characters that the terminal's encoding lacks come out as `?` rather than as an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def printable(text: str) -> str:
    """`text` with control, format and line-breaking characters escaped: names come from strangers."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def say(lines: Iterable[str], *, err: bool = False) -> None:
    """Print lines, each on one line. Raises typer.Exit when they cannot be written."""
    for line in lines:
        try:
            typer.echo(printable(line), err=err)
        except OSError as error:
            raise typer.Exit(give_up(error)) from error


def give_up(error: OSError) -> int:
    """Drop what can no longer be printed; the exit code: 0 when the reader has left, as `head` does."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except OSError:
            # What is still buffered would fail again when Python ends.
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    if isinstance(error, BrokenPipeError):
        return 0
    with suppress(OSError):
        where = f"{error.filename}: " if error.filename else "cannot write: "
        typer.echo(printable(f"querywatch: {where}{error.strerror or error}"), err=True)
    return 2


@contextmanager
def reported(who: str = "querywatch") -> Iterator[None]:
    """Errors made on purpose as one line of `who` on standard error and exit code 2; Ctrl-C as 130."""
    from detector.errors import QuerywatchError

    try:
        interrupt.raise_again()
        try:
            yield
        except QuerywatchError as error:
            if isinstance(error.__cause__, BrokenPipeError) and getattr(error, "sink", "") == "file -":
                raise typer.Exit(give_up(error.__cause__)) from error
            say([f"{who}: {error}"], err=True)
            raise typer.Exit(2) from error
    except KeyboardInterrupt as error:
        say(["querywatch: interrupted"], err=True)
        raise typer.Exit(130) from error
