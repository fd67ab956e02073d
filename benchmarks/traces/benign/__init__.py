"""Honest clients, kind by kind: what each sends. None of them looks at the model's answers.

Each kind is a function of a `Client` and a number of queries n, and returns inputs [n, d] in the
model's own unit. Rows are as natural as the kind's source: data as recorded (for images, grey values
without fractions) unless the docstring says that the client computes its inputs. Discrete columns always
hold one of their own values.
"""

from __future__ import annotations

from benchmarks.traces.benign.client import Client, Kind
from benchmarks.traces.benign.edits import what_if
from benchmarks.traces.benign.preparation import augmentation, new_population
from benchmarks.traces.benign.rows import (
    class_skewed,
    health_check,
    load_test,
    long_batch,
    ordinary,
    retries,
    sorted_batch,
)
from benchmarks.traces.benign.shared import shared_address
from benchmarks.traces.benign.streams import drift

__all__ = ["KINDS", "Client", "Kind"]


KINDS: dict[str, Kind] = {
    "ordinary": Kind(ordinary, 0.30, 7, 0.9, ("person", "person", "app")),
    "class_skewed": Kind(class_skewed, 0.08, 8, 0.9, ("person", "app")),
    "retries": Kind(retries, 0.08, 8, 0.8, ("app", "job", "person")),
    "health_check": Kind(health_check, 0.06, 14, 1.1, ("clock",)),
    "what_if": Kind(what_if, 0.08, 10, 0.7, ("person", "person", "app")),
    "augmentation": Kind(augmentation, 0.08, 12, 0.8, ("bulk", "app", "job")),
    "sorted_batch": Kind(sorted_batch, 0.07, 15, 1.0, ("bulk", "job")),
    "drift": Kind(drift, 0.07, 20, 1.0, ("clock", "app", "job")),
    "load_test": Kind(load_test, 0.05, 15, 1.0, ("job", "app")),
    "shared_address": Kind(shared_address, 0.07, 15, 0.9, ("app", "person", "job")),
    "new_population": Kind(new_population, 0.06, 8, 0.9, ("person", "app", "bulk")),
    # One session in 170, and still two queries in five.
    "long_batch": Kind(long_batch, 0.002, 1400, 0.3, ("bulk", "job"), 1000, 3000),
    "long_drift": Kind(drift, 0.002, 1400, 0.3, ("clock", "app", "job"), 1000, 3000),
    "long_shared_address": Kind(shared_address, 0.002, 1400, 0.3, ("app", "job"), 1000, 3000),
}
