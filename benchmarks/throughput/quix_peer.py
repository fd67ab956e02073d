"""(b) of `peers`: Quix Streams with its state store, run by its own environment's Python, where nothing of
querywatch is.

For each query: the distance to the client's previous one, kept in the state, with a running mean. That is the
least of what querywatch does, and no model. Prints JSON: processor seconds from the first query to the last.
"""

from __future__ import annotations

import base64
import json
import sys
import tempfile
import time
import uuid
from typing import Any

import numpy as np
from quixstreams import Application


class Duty:
    """What is done with each query; `application` ends after so many."""

    def __init__(self, application: Any, queries: int) -> None:
        self.application, self.left = application, queries
        self.begun = self.seconds = 0.0

    def __call__(self, query: dict[str, Any], state: Any) -> dict[str, float]:
        self.begun = self.begun or time.process_time()
        given = query["input"]
        x = (
            np.array(given)
            if isinstance(given, list)
            else np.frombuffer(base64.b64decode(given["b64"]), "<f4")
        )
        key = query["session_id"]
        before = state.get(key)
        distance, mean, seen = 0.0, 0.0, 0
        if before is not None:
            step = x - np.array(before["x"])
            distance = float(np.sqrt(step @ step))
            seen = before["seen"]
            mean = before["mean"] + (distance - before["mean"]) / 16
        state.set(key, {"x": x.tolist(), "mean": mean, "seen": seen + 1})
        self.left -= 1
        if self.left == 0:
            self.seconds = time.process_time() - self.begun
            self.application.stop()
        return {"distance": distance, "mean": mean}


def main() -> None:
    """Arguments: address of a broker, topic, queries."""
    address, name, queries = sys.argv[1], sys.argv[2], int(sys.argv[3])
    with tempfile.TemporaryDirectory(prefix="querywatch-quix-") as folder:
        application = Application(
            broker_address=address,
            consumer_group=uuid.uuid4().hex,
            auto_offset_reset="earliest",
            state_dir=folder,
            loglevel="WARNING",
        )
        topic = application.topic(name, value_deserializer="json", key_deserializer="str")
        duty = Duty(application, queries)
        application.dataframe(topic).apply(duty, stateful=True)
        application.run()
    print(json.dumps({"seconds": duty.seconds}))


if __name__ == "__main__":
    main()
