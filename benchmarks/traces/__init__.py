"""Traces: real attacks and played honest clients against real models, as a log with its ground truth."""

from benchmarks.traces.make import HISTORY, TRACE, TRUTH, SessionTruth, Truth, make

__all__ = ["HISTORY", "TRACE", "TRUTH", "SessionTruth", "Truth", "make"]
