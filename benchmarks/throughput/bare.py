"""(c) of the peers: decoding into columns only, with the bare libraries, which is as fast as reading gets."""

from __future__ import annotations

import binascii
from collections.abc import Callable
from itertools import islice
from typing import cast

import numpy as np
import simdjson
from numpy.typing import NDArray

from benchmarks.throughput.log import CLASSES
from benchmarks.throughput.prepared import Prepared, Works
from detector.config import Config

Matrix = NDArray[np.float64]
Read = Callable[[list[bytes]], object]
BATCH = Config().pipeline.batch_queries
FIELDS = ("model_id", "client_id", "session_id", "request_id", "source_ip")


def decode_only(prepared: Prepared) -> Works:
    """What reads the file and decodes it into columns: the inputs alone, and all fields."""

    def decode(read: Read) -> None:
        """A batch's worth of lines at a time: whoever goes on with columns does not keep them all."""
        with prepared.log.open("rb") as file:
            while lines := list(islice(file, BATCH)):
                read(lines)

    inputs = _inputs_in_base64 if prepared.base64 else _inputs_in_lists
    return {
        "inputs": lambda: decode(lambda lines: inputs(lines, prepared.numbers)),
        "all fields": lambda: decode(lambda lines: _all_fields(lines, prepared)),
    }


Parse = Callable[[bytes], "simdjson.Object"]


def _parser() -> Parse:
    parser = simdjson.Parser()
    return lambda line: cast(simdjson.Object, parser.parse(line))


def _inputs_in_lists(lines: list[bytes], numbers: int) -> Matrix:
    parse = _parser()
    found = b"".join([_list(parse(line)["input"]) for line in lines])
    return np.frombuffer(found, dtype="<f8").reshape(-1, numbers)


def _inputs_in_base64(lines: list[bytes], numbers: int) -> Matrix:
    parse = _parser()
    found = b"".join([_base64(parse(line)["input"]) for line in lines])
    return np.frombuffer(found, dtype="<f4").reshape(-1, numbers).astype(np.float64)


def _list(found: object) -> bytes:
    return cast(simdjson.Array, found).as_buffer(of_type="d")


def _base64(found: object) -> bytes:
    return binascii.a2b_base64(cast(str, cast(simdjson.Object, found)["b64"]))


def _all_fields(lines: list[bytes], prepared: Prepared) -> object:
    parse, numbers = _parser(), _base64 if prepared.base64 else _list

    def fields(line: bytes) -> tuple[object, list[object], bytes, bytes]:
        document = parse(line)  # the parser takes the next line only when this one is gone
        ids: list[object] = [document[name] for name in FIELDS]
        return document["timestamp"], ids, numbers(document["input"]), _list(document["probabilities"])

    times, ids, inputs, answers = zip(*map(fields, lines), strict=True)
    x = np.frombuffer(b"".join(inputs), dtype="<f4" if prepared.base64 else "<f8")
    p = np.frombuffer(b"".join(answers), dtype="<f8").reshape(-1, CLASSES)
    return np.array(times), ids, x.reshape(-1, prepared.numbers).astype(np.float64), p
