"""Sums over the numbers of an array, eight at a time, for kernels.

A compiler may not reorder a sum of floats, so that one it compiles takes number after number. These say
in which order: eight sums side by side, every eighth number to each, put together pairwise, and last what is
left over at the end. So the result is the same to the bit on every processor, whatever it can do at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba.core import cgutils, types
from numba.extending import intrinsic
from numba.np import arrayobj

LANES = 8
_BUILD: Any = cgutils
_IR: Any = _BUILD.ir
_ARRAYS: Any = arrayobj
_DOUBLE: Any = _IR.DoubleType()
_VECTOR: Any = _IR.VectorType(_DOUBLE, LANES)

Term = Callable[[Any, list[Any], list[Any]], Any]
"""What is summed up: from the builder, the numbers of each array there, and the scalars, as float64s."""


def _load(builder: Any, array: Any, data: Any, index: Any, lanes: int) -> Any:
    """So many numbers of an array from `index` on, as float64s."""
    size = array.dtype.bitwidth // 8
    place = builder.gep(data, [index])
    if lanes > 1:
        place = builder.bitcast(place, _IR.VectorType(place.type.pointee, lanes).as_pointer())
    found = builder.load(place, align=size)
    if array.dtype == types.float64:
        return found
    widen = builder.fpext if isinstance(array.dtype, types.Float) else builder.sitofp
    return widen(found, _VECTOR if lanes > 1 else _DOUBLE)


def _reduction(term: Term, fold: Callable[[Any, Any, Any], Any], *kinds: Any) -> Any:
    """The signature and the code of a reduction over arrays of one length; other arguments are scalars."""

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        arrays = [
            (kind, _ARRAYS.make_array(kind)(context, builder, value))
            for kind, value in zip(kinds, arguments, strict=True)
            if isinstance(kind, types.Array)
        ]
        scalars = [
            context.cast(builder, value, kind, types.float64)
            for kind, value in zip(kinds, arguments, strict=True)
            if not isinstance(kind, types.Array)
        ]
        n = _BUILD.unpack_tuple(builder, arrays[0][1].shape)[0]
        shift = n.type(LANES.bit_length() - 1)
        sums, rest = _BUILD.alloca_once(builder, _VECTOR), _BUILD.alloca_once(builder, _DOUBLE)
        builder.store(_IR.Constant(_VECTOR, [0.0] * LANES), sums)
        builder.store(_DOUBLE(0.0), rest)
        whole = builder.lshr(n, shift)
        wide = [_broadcast(builder, one) for one in scalars]
        with _BUILD.for_range(builder, whole) as loop:
            at = builder.shl(loop.index, shift)
            found = [_load(builder, kind, array.data, at, LANES) for kind, array in arrays]
            builder.store(fold(builder, builder.load(sums), term(builder, found, wide)), sums)
        with _BUILD.for_range(builder, n, start=builder.shl(whole, shift)) as loop:
            found = [_load(builder, kind, array.data, loop.index, 1) for kind, array in arrays]
            builder.store(fold(builder, builder.load(rest), term(builder, found, scalars)), rest)
        lanes = builder.load(sums)
        parts = [builder.extract_element(lanes, _IR.IntType(32)(lane)) for lane in range(LANES)]
        while len(parts) > 1:
            parts = [fold(builder, one, two) for one, two in zip(parts[::2], parts[1::2], strict=True)]
        return fold(builder, parts[0], builder.load(rest))

    return types.float64(*kinds), generate


def _broadcast(builder: Any, one: Any) -> Any:
    first = builder.insert_element(_IR.Constant(_VECTOR, _IR.Undefined), one, _IR.IntType(32)(0))
    everywhere = _IR.Constant(_IR.VectorType(_IR.IntType(32), LANES), [0] * LANES)
    return builder.shuffle_vector(first, _IR.Constant(_VECTOR, _IR.Undefined), everywhere)


def _add(builder: Any, total: Any, value: Any) -> Any:
    return builder.fadd(total, value)


def _larger(builder: Any, most: Any, value: Any) -> Any:
    return builder.select(builder.fcmp_ordered(">", value, most), value, most)


def _magnitude(builder: Any, value: Any) -> Any:
    zero = _IR.Constant(value.type, 0.0 if value.type == _DOUBLE else [0.0] * LANES)
    return builder.select(builder.fcmp_ordered("<", value, zero), builder.fneg(value), value)


def _total(_context: Any, a: Any) -> Any:
    """Sum of a [n]."""
    return _reduction(lambda builder, x, _: x[0], _add, a)


def _product(_context: Any, a: Any, b: Any) -> Any:
    """Sum of a [n] times b [n]."""
    return _reduction(lambda builder, x, _: builder.fmul(x[0], x[1]), _add, a, b)


def _square_distance(_context: Any, a: Any, b: Any, unit: Any) -> Any:
    """Sum of (a [n] - unit * b [n]) squared."""

    def term(builder: Any, x: list[Any], scalars: list[Any]) -> Any:
        off = builder.fsub(x[0], builder.fmul(x[1], scalars[0]))
        return builder.fmul(off, off)

    return _reduction(term, _add, a, b, unit)


def _largest(_context: Any, a: Any) -> Any:
    """The largest magnitude of a [n], 0 without one. NaN counts as none."""
    return _reduction(lambda builder, x, _: _magnitude(builder, x[0]), _larger, a)


total: Any = intrinsic(_total)
product: Any = intrinsic(_product)
square_distance: Any = intrinsic(_square_distance)
largest: Any = intrinsic(_largest)
