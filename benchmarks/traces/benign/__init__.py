"""Honest clients, kind by kind: what each sends. None of them looks at the model's answers.

Each kind is a function of a `Client` and a number of queries n, and returns inputs [n, d] in the
model's own unit. Rows are as natural as the kind's source: data as recorded (for images, grey values
without fractions) unless the docstring says that the client computes its inputs, and inside the public
range unless it says otherwise. Discrete columns always hold one of their own values.
"""

from __future__ import annotations

from benchmarks.traces.benign.client import Client, Kind
from benchmarks.traces.benign.edits import crossed_grid, habitual, recourse, what_if
from benchmarks.traces.benign.faults import faulty_input
from benchmarks.traces.benign.preparation import augmentation, new_population, two_arms
from benchmarks.traces.benign.rows import (
    class_skewed,
    health_check,
    load_test,
    long_batch,
    nearest_first,
    ordinary,
    retries,
    sorted_batch,
)
from benchmarks.traces.benign.shared import shared_address
from benchmarks.traces.benign.streams import dashboard, drift, wander

__all__ = ["KINDS", "Client", "Kind"]


KINDS: dict[str, Kind] = {
    "ordinary": Kind(ordinary, 0.208, 7, 0.9, ("person", "person", "app")),
    "class_skewed": Kind(class_skewed, 0.055, 8, 0.9, ("person", "app")),
    "retries": Kind(retries, 0.055, 8, 0.8, ("app", "job", "person")),
    "health_check": Kind(health_check, 0.041, 14, 1.1, ("clock",)),
    "what_if": Kind(what_if, 0.055, 10, 0.7, ("person", "person", "app")),
    "crossed_grid": Kind(crossed_grid, 0.04, 40, 0.6, ("app", "person", "job"), 12, 150),
    "recourse": Kind(recourse, 0.03, 12, 0.8, ("person", "person", "app"), 4),
    "habitual": Kind(habitual, 0.04, 12, 0.9, ("person", "app")),
    "augmentation": Kind(augmentation, 0.055, 12, 0.8, ("bulk", "app", "job")),
    "two_arms": Kind(two_arms, 0.03, 16, 0.9, ("job", "bulk", "app"), 4),
    "faulty_input": Kind(faulty_input, 0.03, 15, 1.0, ("app", "bulk", "job", "clock")),
    "new_population": Kind(new_population, 0.041, 8, 0.9, ("person", "app", "bulk")),
    "sorted_batch": Kind(sorted_batch, 0.048, 15, 1.0, ("bulk", "job")),
    "nearest_first": Kind(nearest_first, 0.03, 14, 0.8, ("bulk", "bulk", "app")),
    "load_test": Kind(load_test, 0.034, 15, 1.0, ("job", "app")),
    "drift": Kind(drift, 0.048, 20, 1.0, ("clock", "app", "job")),
    "wander": Kind(wander, 0.07, 25, 1.1, ("clock", "app", "job")),
    "dashboard": Kind(dashboard, 0.04, 30, 1.0, ("clock", "clock", "app"), 6),
    "shared_address": Kind(shared_address, 0.048, 15, 0.9, ("app", "person", "job")),
    # One session in 125, and still one query in three.
    "long_batch": Kind(long_batch, 0.002, 1400, 0.3, ("bulk", "job"), 1000, 3000),
    "long_drift": Kind(drift, 0.002, 1400, 0.3, ("clock", "app", "job"), 1000, 3000),
    "long_wander": Kind(wander, 0.002, 1400, 0.3, ("clock", "app", "job"), 1000, 3000),
    "long_shared_address": Kind(shared_address, 0.002, 1400, 0.3, ("app", "job"), 1000, 3000),
}
