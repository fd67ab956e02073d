"""Asking memory for what a kernel needs some steps later, so that it does not have to wait then.

The state of a million sessions is far larger than any cache: a row of it comes from memory as some thirty
cache lines, of which the first is 100 ns away. A kernel that knows which rows come next asks for them while
it is busy with this one. No result depends on it.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic
from numba.np import arrayobj

_BUILD: Any = cgutils
_ARRAYS: Any = arrayobj
_IR: Any = ir
LINE = 64
"""Bytes of a cache line."""


def _ask_for(_context: Any, array: Any, index: Any, begin: Any, end: Any) -> Any:
    """Ask for bytes begin..end from where array[index] begins; where it is a field of a row, that may reach
    beyond it. Nothing happens where no memory is."""

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        whole = _ARRAYS.make_array(array)(context, builder, arguments[0])
        size, *_ = _BUILD.unpack_tuple(builder, whole.strides)
        word, line, number = size.type, _IR.IntType(8).as_pointer(), _IR.IntType(32)
        here = _BUILD.pointer_add(builder, whole.data, builder.mul(arguments[1], size))
        first, last = (builder.add(builder.ptrtoint(here, word), by) for by in arguments[2:])
        kind = _IR.FunctionType(_IR.VoidType(), [line, number, number, number])
        prefetch = builder.module.declare_intrinsic("llvm.prefetch", [line], kind)
        read, all_caches, data = number(0), number(3), number(1)
        lines = _BUILD.for_range_slice(builder, builder.and_(first, word(-LINE)), last, word(LINE), word)
        with lines as (at, _):
            builder.call(prefetch, [builder.inttoptr(at, line), read, all_caches, data])
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp, types.intp), generate


ask_for: Any = intrinsic(_ask_for)
