"""What the fuzzer runs: every seed passes, and a decoder that reads otherwise does not."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from numba.core.dispatcher import Dispatcher

from benchmarks.fuzzing import decoders
from benchmarks.fuzzing.decoders import TARGETS
from benchmarks.fuzzing.kernels import kernels
from benchmarks.fuzzing.seeds import dictionary, seeds
from connectors.formats import native
from connectors.formats.block import read_batch
from connectors.streams import ByteStream
from detector.container import MAGIC
from detector.decoded import Decoded
from detector.pipeline import Shard
from detector.profile import ModelProfile
from detector.settings import Settings
from detector.shard_state import restore

GOOD = b'{"timestamp": 5, "model_id": "m", "client_id": "x", "session_id": "s", "input": [1.5, 2]}'


@pytest.mark.parametrize("target", TARGETS)
def test_every_seed_passes(target: str) -> None:
    given = seeds(target)
    assert given
    for content in given[:: 8 if target == "cores" else 1]:
        TARGETS[target](content)


def test_a_kernel_that_reads_otherwise_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    decoders.blocks(GOOD)

    def other(*arguments: Any) -> tuple[Decoded, npt.NDArray[np.bool_]]:
        found, ordinary = read_batch(*arguments)
        found.times[-1] = 6.0
        return found, ordinary

    monkeypatch.setattr("connectors.formats.block.read_batch", other)
    with pytest.raises(AssertionError, match="differ"):
        decoders.blocks(GOOD)


def test_a_quick_reading_that_reads_otherwise_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    decoders.records(GOOD)
    monkeypatch.setattr(native, "_name", lambda value: "other")
    with pytest.raises(AssertionError, match="differ"):
        decoders.records(GOOD)


def test_ids_that_stay_as_they_are_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connectors.pseudonyms.hashed", lambda value, key: value)
    with pytest.raises(AssertionError, match="not hashed"):
        decoders.records(GOOD)


@pytest.mark.parametrize("how", [0, 2, 3])
def test_a_stream_that_loses_a_piece_is_found(monkeypatch: pytest.MonkeyPatch, how: int) -> None:
    content = bytes([how]) + GOOD
    decoders.files(content)
    pieces = ByteStream.pieces
    monkeypatch.setattr(ByteStream, "pieces", lambda self: (piece[:-1] for piece in pieces(self)))
    with pytest.raises(AssertionError):
        decoders.files(content)


def test_a_letter_that_comes_back_changed_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    content = seeds("letters")[0]
    decoders.letters(content)
    monkeypatch.setattr("connectors.file_sinks._visible", lambda line: line.replace(b"why", b"who"))
    with pytest.raises(AssertionError, match="changed"):
        decoders.letters(content)


def test_a_checksum_that_nobody_looks_at_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoders, "unpack", lambda data: ({}, {}))
    with pytest.raises(AssertionError, match="checksum"):
        decoders.containers(b"any")
    assert not any(MAGIC in content for content in seeds("containers"))


def test_a_core_that_depends_on_batches_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def late(data: bytes, settings: Settings, profiles: Mapping[str, ModelProfile]) -> Shard:
        shard = restore(data, settings, profiles)
        shard.models["m"].sessions.queries += 1
        return shard

    monkeypatch.setattr(decoders, "restore", late)
    with pytest.raises(AssertionError, match="state"):
        decoders.cores(GOOD)


def test_words_are_written_as_libfuzzer_reads_them() -> None:
    lines = dictionary().splitlines()
    assert '"\\x22\\x3a\\x20"' in lines
    assert all(line.isascii() and line.startswith('"\\x') and line.endswith('"') for line in lines)


def test_no_kernel_is_instrumented() -> None:
    names = {
        name
        for name, module in list(sys.modules.items())
        if name.startswith(("connectors.", "detector."))
        for value in vars(module).values()
        if isinstance(value, Dispatcher) and value.py_func.__module__ == name
    }
    assert {"detector.spans", "detector.policy", "detector.features.kernel"} <= names
    assert names <= set(kernels())
