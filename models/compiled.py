"""`jit`: compile a kernel with Numba once and cache it on disk for the next start.

Numba's cache notices an edit of the file that holds a kernel, but not of a callee or a constant in another
file, and would go on running the old code. So the cache directory is named after a hash of all of them.
The cache is private (0700), because Numba reads it back as code.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

import numba
from numba.core import cgutils, types
from numba.extending import intrinsic
from numba.np import arrayobj

P = ParamSpec("P")
R = TypeVar("R")

_NUMBA: Any = numba.config
_BUILD: Any = cgutils
_ARRAYS: Any = arrayobj
_njit: Any = numba.njit
_ROOT = Path(__file__).resolve().parent.parent
KERNEL_FOLDERS = ("models", "detector/features", "detector", "connectors/formats")
_IMPORT = re.compile(rb"^from ([\w.]+) import", re.MULTILINE)


def sources(root: Path) -> list[Path]:
    """The files below root whose text says what kernels do: those that hold pieces of them, and those that
    these import, whose constants are compiled into them."""
    files = {path: path.read_bytes() for folder in KERNEL_FOLDERS for path in (root / folder).glob("*.py")}
    holding = {path: text for path, text in files.items() if b"models.compiled" in text}
    modules = {name for text in holding.values() for name in _IMPORT.findall(text)}
    named = {root / (name.decode().replace(".", "/") + ".py") for name in modules}
    return sorted({root / "models" / "compiled.py", *holding, *(named & files.keys())})


def sources_digest(root: Path) -> str:
    """One name for the present text of all of them, and for the compiler."""
    digest = hashlib.sha256(numba.__version__.encode())
    for path in sources(root):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def _private_cache() -> bool:
    """Point Numba at the cache directory of these sources; False when no place is writable."""
    configured = _NUMBA.CACHE_DIR
    try:
        base = Path(configured) if configured else Path.home() / ".cache" / "querywatch" / "kernels"
        folder = base / sources_digest(_ROOT)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except (OSError, RuntimeError):
        return False
    _NUMBA.CACHE_DIR = str(folder)
    return True


_CACHED = _private_cache()


def _part(_context: Any, array: Any, index: Any) -> Any:
    """array[index] for kernels, of an array whose other axes are contiguous, such as a field of many rows.

    Unlike array[index] it is known to be contiguous, which lets loops over it run on many numbers at once,
    and is not counted as a reference, which would take longer than some of those loops. As everywhere in
    kernels, bounds are not checked; negative indices are not understood.
    """
    found = types.Array(array.dtype, array.ndim - 1, "C")

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        whole = _ARRAYS.make_array(array)(context, builder, arguments[0])
        _, *shape = _BUILD.unpack_tuple(builder, whole.shape)
        rows, *_ = _BUILD.unpack_tuple(builder, whole.strides)
        size = context.get_constant(types.intp, context.get_abi_sizeof(context.get_data_type(array.dtype)))
        stride: Any = size
        strides: list[Any] = []
        for length in reversed(shape):
            strides.insert(0, stride)
            stride = builder.mul(stride, length)
        one = _ARRAYS.make_array(found)(context, builder)
        data = _BUILD.pointer_add(builder, whole.data, builder.mul(arguments[1], rows))
        _ARRAYS.populate_array(one, data=data, shape=shape, strides=strides, itemsize=size, meminfo=None)
        return one._getvalue()

    return found(array, types.intp), generate


part: Any = intrinsic(_part)


def _of_bits(count: Callable[[Any, Any], Any], says: str) -> Any:
    """A number of the bits of a word, for kernels."""

    def typed(_context: Any, word: Any) -> Any:
        def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            return count(builder, arguments[0])

        return word(word), generate

    typed.__doc__ = says
    return intrinsic(typed)


trailing_zeros = _of_bits(
    lambda builder, word: builder.cttz(word, _BUILD.false_bit),
    "How many of the lowest bits of a word are 0; all of them where it is 0.",
)
leading_zeros = _of_bits(
    lambda builder, word: builder.ctlz(word, _BUILD.false_bit),
    "How many of the highest bits of a word are 0; all of them where it is 0.",
)
ones = _of_bits(lambda builder, word: builder.ctpop(word), "How many of the bits of a word are 1.")


def _compiled(function: Callable[P, R], **options: bool) -> Callable[P, R]:
    # Without Python's lock: logs are read and decoded while the core is at work on what came before.
    compiled = _njit(function, cache=_CACHED, fastmath=False, nogil=True, error_model="numpy", **options)
    return cast(Callable[P, R], compiled)


def jit(function: Callable[P, R]) -> Callable[P, R]:
    """Compile `function` in nopython mode; exact arithmetic (no reordering), so results are repeatable."""
    return _compiled(function)


def lean(function: Callable[P, R]) -> Callable[P, R]:
    """`jit` for a kernel that makes no array: references to its arrays are not counted.

    Counting takes 10 ns an array, and the state of an entity is handed on as twenty of them, again and again.
    """
    return _compiled(function, _nrt=False)


def inlined(function: Callable[P, R]) -> Callable[P, R]:
    """`lean` for a piece of a kernel, which what calls it takes in: handing over all those arrays would take
    longer than most pieces do."""
    return _compiled(function, _nrt=False, forceinline=True)
