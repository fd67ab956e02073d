"""JSON numbers to float64, compiled: the nearest float to the text, to the last bit, or no answer at all.

Up to 19 significant digits are read. Small ones are one exact product or quotient (Clinger 1990); the rest
takes the upper half of a 128-bit product with a power of five (Lemire, "Number Parsing at a Gigabyte per
Second", 2021). What neither settles is left to another reader.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from connectors.formats.lists import read_plain
from models.compiled import leading_zeros, lean

_LOWEST, _HIGHEST = -300, 280
"""Powers of ten that are read here; results beyond may be subnormal or infinite."""
_MAX_DIGITS = 19
_EXACT = 2**53
_U = np.uint64
_I: Any = np.int64
_ZERO, _ONE, _FIVE, _TEN, _TOP = _U(0), _U(1), _U(5), _U(10), _U(1 << 63)
_LOW_HALF, _HALF, _ALL = _U(0xFFFFFFFF), _U(32), _U(0xFFFFFFFFFFFFFFFF)
_MINUS, _PLUS, _POINT, _EXPONENT, _SMALL_EXPONENT = 45, 43, 46, 69, 101


def _powers_of_five() -> npt.NDArray[np.uint64]:
    """The leading 128 bits of 5^q, rounded up for q < 0, as halves [q - _LOWEST, 2]."""
    rows = []
    for q in range(_LOWEST, _HIGHEST + 1):
        if q < 0:
            power = 5**-q
            bits = (power - 1).bit_length()
            value = 2 ** (bits + 127 if q >= -27 else 2 * bits + 128) // power + 1
        else:
            value = 5**q << 128
        value >>= max(0, value.bit_length() - 128)
        rows.append((value >> 64, value & (2**64 - 1)))
    return np.array(rows, dtype=np.uint64)


_POWERS = _powers_of_five()
_TENS = np.array([10.0**k for k in range(23)])


@lean
def blank(text: Any, i: int) -> int:
    """The first position from i on that is no white space."""
    while text[i] <= 32 and text[i] in (32, 9, 10, 13):
        i += 1
    return i


@lean
def _product(a: Any, b: Any) -> Any:
    """The upper and the lower half of a 64 by 64 bit product."""
    a0, a1, b0, b1 = a & _LOW_HALF, a >> _HALF, b & _LOW_HALF, b >> _HALF
    low, one, other = a0 * b0, a0 * b1, a1 * b0
    middle = (low >> _HALF) + (one & _LOW_HALF) + (other & _LOW_HALF)
    high = a1 * b1 + (one >> _HALF) + (other >> _HALF) + (middle >> _HALF)
    return high, (middle << _HALF) | (low & _LOW_HALF)


@lean
def _nearest(digits: Any, power: int) -> Any:
    """The bits of the float64 nearest to digits * 10^power, digits > 0; 0 where this does not tell."""
    shift = leading_zeros(digits)
    digits <<= shift
    high, low = _product(digits, _POWERS[power - _LOWEST, 0])
    if high & _U(0x1FF) == _U(0x1FF):
        more, _ = _product(digits, _POWERS[power - _LOWEST, 1])
        total = low + more
        if total < low:
            high += _ONE
        low = total
        if low == _ALL and (power < -27 or power > 55):
            return _ZERO
    upper = high >> _U(63)
    mantissa = high >> (upper + _U(9))
    exponent = ((217706 * power) >> 16) + 1086 + _I(upper) - _I(shift)
    if exponent <= 0 or exponent >= 2046:
        return _ZERO
    # Half way between two floats: to the even one.
    halfway = low <= _ONE and power >= -4 and power <= 23 and (mantissa & _U(3)) == _ONE
    if halfway and (mantissa << (upper + _U(9))) == high:
        mantissa &= ~_ONE
    mantissa = (mantissa + (mantissa & _ONE)) >> _ONE
    if mantissa >= _U(1 << 53):
        mantissa = _U(1 << 52)
        exponent += 1
    return (mantissa & ~_U(1 << 52)) | (_U(exponent) << _U(52))


@lean
def put_nearest(digits: Any, power: int, negative: bool, out: Any, bits: Any, k: int) -> bool:
    """Write the float64 nearest to digits * 10^power, digits > 0, into out [k]; False: not told here."""
    if digits <= _U(_EXACT) and power >= -22 and power <= 22:
        value = np.float64(digits)
        value = value / _TENS[-power] if power < 0 else value * _TENS[power]
        out[k] = -value if negative else value
        return True
    if power < _LOWEST or power > _HIGHEST:
        return False
    nearest = _nearest(digits, power)
    if nearest == _ZERO:
        return False
    bits[k] = nearest | _TOP if negative else nearest
    return True


@lean
def read_number(text: Any, at: int, out: Any, bits: Any, k: int) -> int:
    """Read the JSON number at text [bytes] from `at` on into out [k] float64; returns the position behind it.

    `bits` is a view of out as uint64.

    Returns 0 when it is no number, or none that is read here. The text must end in a byte that no number has.
    """
    i = _U(at)
    negative = text[i] == _MINUS
    if negative:
        i += _ONE
    begin = i
    while text[i] == 48:
        i += _ONE
    first, digits = i, _ZERO
    digit = _U(text[i]) - _U(48)
    while digit <= _U(9):
        digits = digits * _TEN + digit
        i += _ONE
        digit = _U(text[i]) - _U(48)
    significant = i - first
    if i == begin or (i > begin + _ONE and first > begin):
        return 0
    power, whole = 0, True
    if text[i] == _POINT:
        whole = False
        i += _ONE
        begin = i
        while significant == _ZERO and text[i] == 48:
            i += _ONE
        first = i
        digit = _U(text[i]) - _U(48)
        while digit <= _U(9):
            digits = digits * _TEN + digit
            i += _ONE
            digit = _U(text[i]) - _U(48)
        significant += i - first
        power = -_I(i - begin)
        if power == 0:
            return 0
    c = text[i]
    if c in (_EXPONENT, _SMALL_EXPONENT):
        whole = False
        i += _ONE
        c = text[i]
        sign = -1 if c == _MINUS else 1
        if c in (_MINUS, _PLUS):
            i += _ONE
            c = text[i]
        begin, exponent = i, 0
        while c >= 48 and c <= 57 and i < begin + _FIVE:
            exponent = 10 * exponent + _I(c - 48)
            i += _ONE
            c = text[i]
        if i == begin or i == begin + _FIVE:
            return 0
        power += sign * exponent
    if significant > _U(_MAX_DIGITS):
        return 0
    if digits == _ZERO:
        # An integer has no negative zero.
        out[k] = -0.0 if negative and not whole else 0.0
        return int(_I(i))
    told = put_nearest(digits, power, negative, out, bits, k)
    return int(_I(i)) if told else 0


@lean
def read_list(text: Any, at: int, most: int, out: Any, bits: Any, begin: int) -> Any:
    """Read the flat list of 1 to `most` numbers at text [bytes] from `at` on into out from `begin` on.

    Returns the positions behind it, in the text (0: it is none) and in `out`. This is the innermost loop of
    all: indices are uint64, so that none is looked at for being negative, and most numbers (a point, at most
    15 digits) are read right here.
    """
    i, k = read_plain(text, _U(at), _U(most), bits, _U(begin))
    if i != _ZERO:
        return _I(i), _I(k)
    i, k, last = _U(at), _U(begin), _U(begin + most)
    if text[i] != 91:
        return 0, begin
    while k < last:
        i += _ONE
        while text[i] <= 32 and (text[i] == 32 or text[i] == 10 or text[i] == 13 or text[i] == 9):
            i += _ONE
        start = i
        negative = text[i] == _MINUS
        if negative:
            i += _ONE
        first, value = i, _ZERO
        digit = _U(text[i]) - _U(48)
        while digit <= _U(9):
            value = value * _TEN + digit
            i += _ONE
            digit = _U(text[i]) - _U(48)
        whole, places = i - first, _ZERO
        if text[i] == _POINT:
            i += _ONE
            digit = _U(text[i]) - _U(48)
            point = i
            while digit <= _U(9):
                value = value * _TEN + digit
                i += _ONE
                digit = _U(text[i]) - _U(48)
            places = i - point
        odd = whole * places == _ZERO or whole + places > _U(_MAX_DIGITS)
        if odd or (whole > _ONE and text[first] == 48) or (text[i] | 32) == _SMALL_EXPONENT:
            i = _U(read_number(text, _I(start), out, bits, _I(k)))
            if i == _ZERO:
                return 0, begin
        elif whole + places <= _U(15):
            result = np.float64(_I(value)) / _TENS[places]
            out[k] = -result if negative else result
        elif not put_nearest(value, -_I(places), negative, out, bits, _I(k)):
            return 0, begin
        k += _ONE
        while text[i] <= 32 and (text[i] == 32 or text[i] == 10 or text[i] == 13 or text[i] == 9):
            i += _ONE
        if text[i] == 93:
            return _I(i) + 1, _I(k)
        if text[i] != 44:
            return 0, begin
    return 0, begin
