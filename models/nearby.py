"""Squared distances from one point to many others, a block of others at a time, for kernels.

The others lie number by number: the first numbers of all, then the second ones. Each distance is summed up in
the order of the numbers, in float32, so that it is the same to the bit on every processor; side by side are
the others of a block, whose sums stay in registers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba.core import cgutils, types
from numba.extending import intrinsic
from numba.np import arrayobj

BLOCK = 64
_LANES = 16
_BUILD: Any = cgutils
_IR: Any = _BUILD.ir
_ARRAYS: Any = arrayobj
_INT: Any = _IR.IntType(64)
_LANE: Any = _IR.IntType(32)
_FLOAT: Any = _IR.FloatType()
_VECTOR: Any = _IR.VectorType(_FLOAT, _LANES)


def _vectors(builder: Any, data: Any, kind: Any) -> list[Any]:
    """Pointers to the numbers of a block, which begins at `data`, as vectors."""
    wide = _IR.VectorType(kind, _LANES).as_pointer()
    return [builder.bitcast(builder.gep(data, [_INT(begin)]), wide) for begin in range(0, BLOCK, _LANES)]


def _everywhere(builder: Any, number: Any) -> Any:
    first = builder.insert_element(_IR.Constant(_VECTOR, _IR.Undefined), number, _LANE(0))
    lanes = _IR.Constant(_IR.VectorType(_LANE, _LANES), [0] * _LANES)
    return builder.shuffle_vector(first, _IR.Constant(_VECTOR, _IR.Undefined), lanes)


def _smaller(builder: Any, one: Any, two: Any) -> Any:
    return builder.select(builder.fcmp_ordered("<", one, two), one, two)


def _smallest(builder: Any, vectors: list[Any]) -> Any:
    while len(vectors) > 1:
        vectors = [_smaller(builder, *pair) for pair in zip(vectors[::2], vectors[1::2], strict=True)]
    lanes = [builder.extract_element(vectors[0], _LANE(lane)) for lane in range(_LANES)]
    while len(lanes) > 1:
        lanes = [_smaller(builder, *pair) for pair in zip(lanes[::2], lanes[1::2], strict=True)]
    return lanes[0]


Code = Callable[[Any, Any, Any, Any], Any]


def _square_distances(
    _context: Any, points: Any, point: Any, numbers: Any, begin: Any, out: Any
) -> tuple[Any, Code]:
    """Write to out [n] float32 the squared distances from point [k] float64 to those of points [k, n] float32
    with the numbers begin .. begin + BLOCK, by the first `numbers` of the k; returns the smallest.

    points and out are contiguous, and n is at least begin + BLOCK.
    """

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        others, one, to = (
            _ARRAYS.make_array(kind)(context, builder, arguments[at])
            for kind, at in ((points, 0), (point, 1), (out, 4))
        )
        last, start = (
            context.cast(builder, arguments[at], kind, types.int64) for kind, at in ((numbers, 2), (begin, 3))
        )
        _, row = _BUILD.unpack_tuple(builder, others.shape)
        sums = [_BUILD.alloca_once(builder, _VECTOR) for _ in range(BLOCK // _LANES)]
        for total in sums:
            builder.store(_IR.Constant(_VECTOR, [0.0] * _LANES), total)
        with _BUILD.for_range(builder, last) as loop:
            here = builder.fptrunc(builder.load(builder.gep(one.data, [loop.index])), _FLOAT)
            wide = _everywhere(builder, here)
            place = builder.gep(others.data, [builder.add(builder.mul(loop.index, row), start)])
            for total, found in zip(sums, _vectors(builder, place, _FLOAT), strict=True):
                off = builder.fsub(builder.load(found, align=4), wide)
                builder.store(builder.fadd(builder.load(total), builder.fmul(off, off)), total)
        totals = [builder.load(total) for total in sums]
        for total, place in zip(
            totals, _vectors(builder, builder.gep(to.data, [start]), _FLOAT), strict=True
        ):
            builder.store(total, place, align=4)
        return _smallest(builder, totals)

    return types.float32(points, point, numbers, begin, out), generate


def _smallest_marked(_context: Any, distances: Any, marks: Any, begin: Any) -> tuple[Any, Code]:
    """The smallest of the distances [n] float32 begin .. begin + BLOCK whose mark [n] int64 is not 0;
    infinite without one."""

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        own, marked = (
            _ARRAYS.make_array(kind)(context, builder, arguments[at])
            for at, kind in enumerate((distances, marks))
        )
        start = context.cast(builder, arguments[2], begin, types.int64)
        infinite = _IR.Constant(_VECTOR, [float(np.inf)] * _LANES)
        none = _IR.Constant(_IR.VectorType(_INT, _LANES), [0] * _LANES)
        found = []
        for one, mark in zip(
            _vectors(builder, builder.gep(own.data, [start]), _FLOAT),
            _vectors(builder, builder.gep(marked.data, [start]), _INT),
            strict=True,
        ):
            counts = builder.icmp_signed("!=", builder.load(mark, align=8), none)
            found.append(builder.select(counts, builder.load(one, align=4), infinite))
        return _smallest(builder, found)

    return types.float32(distances, marks, begin), generate


square_distances: Any = intrinsic(_square_distances)
smallest_marked: Any = intrinsic(_smallest_marked)
