"""The one error of this package."""

from __future__ import annotations


class ServerError(RuntimeError):
    """A server cannot be fetched, started or stopped; the text says why and what to do."""
