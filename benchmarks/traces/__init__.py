"""Traces: real attacks and played honest clients against real models, as a log with its ground truth."""

from benchmarks.traces.make import HISTORY, TRACE, TRUTH, SessionTruth, Truth, make
from benchmarks.traces.variants import PLAIN, VARIANTS, Variant

__all__ = ["HISTORY", "PLAIN", "TRACE", "TRUTH", "VARIANTS", "SessionTruth", "Truth", "Variant", "make"]
