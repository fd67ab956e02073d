"""Bytes of a text many at a time, for kernels: eight as one word, and of 64 what they are, as bits of words.

The lowest bit is the first byte. Whatever a processor can do at once, the bits are the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba.core import cgutils, types
from numba.extending import intrinsic
from numba.np import arrayobj

from models.compiled import inlined, lean, ones, trailing_zeros

MARKED = 64
"""Bytes that are looked at for a word of bits."""
_BUILD: Any = cgutils
_TYPES: Any = types
_IR: Any = _BUILD.ir
_ARRAYS: Any = arrayobj
_BYTES: Any = _IR.VectorType(_IR.IntType(8), MARKED)

Code = Callable[[Any, Any, Any, Any], Any]


@inlined
def word(text: Any, at: Any) -> Any:
    """Eight bytes of text from `at` on, little-endian."""
    found = np.uint64(text[at])
    for byte in range(1, 8):
        found |= np.uint64(text[at + np.uint64(byte)]) << np.uint64(8 * byte)
    return found


def _place(context: Any, builder: Any, kind: Any, text: Any, at: Any) -> Any:
    array = _ARRAYS.make_array(kind)(context, builder, text)
    return builder.bitcast(builder.gep(array.data, [at]), _BYTES.as_pointer())


def _all(value: int) -> Any:
    return _IR.Constant(_BYTES, [value] * MARKED)


def _bits(builder: Any, marks: Any) -> Any:
    return builder.bitcast(marks, _IR.IntType(MARKED))


def _number_marks(_context: Any, text: Any, at: Any) -> tuple[Any, Code]:
    """Which of 64 bytes of a text from `at` on are digits, zeros, points, minus signs, commas and spaces: six
    words."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        found = builder.load(_place(context, builder, text, *arguments), align=1)
        words = [_bits(builder, builder.icmp_unsigned("<=", builder.sub(found, _all(48)), _all(9)))]
        words += [_bits(builder, builder.icmp_unsigned("==", found, _all(ord(one)))) for one in "0.-, "]
        return context.make_tuple(builder, signature.return_type, words)

    return _TYPES.UniTuple(_TYPES.uint64, 6)(text, at), generate


def _copy_string(_context: Any, text: Any, at: Any, to: Any, where: Any) -> tuple[Any, Code]:
    """Copy 64 bytes of a text from `at` on into `to` from `where` on. Which of them end a plain string: a
    quotation mark, and all that is not plain (a backslash, what is no printable ASCII)."""

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        found = builder.load(_place(context, builder, text, *arguments[:2]), align=1)
        builder.store(found, _place(context, builder, to, *arguments[2:]), align=1)
        # As bytes with a sign, those beyond ASCII lie below the space as well.
        marks = builder.icmp_signed("<", found, _all(ord(" ")))
        for one in '"\\':
            marks = builder.or_(marks, builder.icmp_unsigned("==", found, _all(ord(one))))
        return _bits(builder, marks)

    return types.uint64(text, at, to, where), generate


def _marks_of(_context: Any, text: Any, at: Any, byte: Any) -> tuple[Any, Code]:
    """Which of 64 bytes of a text from `at` on are this one."""

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        found = builder.load(_place(context, builder, text, *arguments[:2]), align=1)
        one = builder.insert_element(_IR.Constant(_BYTES, _IR.Undefined), arguments[2], _IR.IntType(32)(0))
        lanes = _IR.Constant(_IR.VectorType(_IR.IntType(32), MARKED), [0] * MARKED)
        everywhere = builder.shuffle_vector(one, _IR.Constant(_BYTES, _IR.Undefined), lanes)
        return _bits(builder, builder.icmp_unsigned("==", found, everywhere))

    return types.uint64(text, at, types.uint8), generate


def _float_bits(_context: Any, number: Any) -> tuple[Any, Code]:
    """The bits of a float64."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], _IR.IntType(64))

    return types.uint64(number), generate


number_marks: Any = intrinsic(_number_marks)
marks_of: Any = intrinsic(_marks_of)
copy_string: Any = intrinsic(_copy_string)
float_bits: Any = intrinsic(_float_bits)


@lean
def find_byte(text: Any, byte: Any, out: Any) -> Any:
    """Write where this byte is in the text [n] uint8 to out [k] int64, as far as there is room; returns how
    often it is there."""
    size, count, room = np.uint64(text.shape[0]), np.uint64(0), np.uint64(out.shape[0])
    at, block, one = np.uint64(0), np.uint64(MARKED), np.uint64(1)
    while at < size:
        if at + block <= size:
            marks = marks_of(text, at, byte)
        else:
            marks = np.uint64(0)
            for j in range(size - at):
                marks |= np.uint64(text[at + np.uint64(j)] == byte) << np.uint64(j)
        if room == 0:
            count += ones(marks)
        while room > 0 and marks != 0:
            if count < room:
                out[count] = at + trailing_zeros(marks)
            marks &= marks - one
            count += one
        at += block
    return np.int64(count)
