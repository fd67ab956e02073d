"""A flat list of short decimal numbers, such as `[0.5, -1.25]`, compiled: many bytes and numbers at once.

Ordinary is a list of numbers with a point and at most eight bytes without their sign, with a comma and at
most one space between two. What is where is known for 64 bytes at once, as bits of words (Langdale and
Lemire, "Parsing Gigabytes of JSON per Second", 2019), and so is whether it may follow what is before it: no
number waits until the one before it was read. Then digits become numbers in a loop without a branch, many
side by side. Every other list is left to `floats`, which gives the same numbers.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from models.compiled import inlined, leading_zeros, ones, trailing_zeros
from models.words import MARKED, float_bits, number_marks, word

_U = np.uint64
_I: Any = np.int64
_ZERO, _ONE, _THREE, _SEVEN, _EIGHT, _BLOCK = _U(0), _U(1), _U(3), _U(7), _U(8), _U(MARKED)
_ALL, _TOP = _U(0xFFFFFFFFFFFFFFFF), _U(1 << 63)
_ZEROS, _POINTS = _U(0x3030303030303030), _U(0x1010101010101010)
_LOWEST, _PAIRS, _FOURS = _U(0x0101010101010101), _U(0x00FF00FF00FF00FF), _U(0x000000FF000000FF)
_HUNDREDS, _UNITS = _U(100 + (1000000 << 32)), _U(1 + (10000 << 32))
_TENS = np.array([10.0 ** (7 - before) for before in range(8)])
"""By the byte of a word in which the point is: what its digits are divided by."""
_LIST, _LIST_END = 91, 93


@inlined
def read_plain(text: Any, at: Any, most: Any, bits: Any, begin: Any) -> Any:
    """Read the list at text [bytes] from `at` on, if it is an ordinary one of at most `most` numbers, into
    bits [n] uint64 of float64 from `begin` on; what is behind them may be overwritten.

    Returns the positions behind it, in the text (0: it is none) and in `bits`. All are uint64. Nothing is
    read or written beyond the two: where there is no room for 64 bytes or numbers more, no list is ordinary.
    """
    size, room, k, last = _U(text.shape[0]), _U(bits.shape[0]), begin, begin + most
    wide = _ZERO
    if at < _EIGHT or text[at] != _LIST:
        return _ZERO, begin
    here = at + _ONE
    # Always from behind the bracket or a comma; a number that goes on behind these bytes is looked at again.
    while here + _BLOCK <= size and k + _BLOCK <= room:
        digits, zeros, points, signs, commas, spaces = number_marks(text, here)
        numbers = digits | points
        starts, stops = numbers & ~(numbers << _ONE), ~numbers & (numbers << _ONE)
        others = ~(numbers | signs | commas | spaces)
        close = others & (_ZERO - others)  # the first byte that no list holds is its end
        inside = (close << _ONE) - _ONE
        starts, stops = starts & inside, stops & inside
        upto = _ALL >> leading_zeros(stops)
        bad = stops & ~(commas | close)
        bad |= commas & ~(numbers << _ONE)
        bad |= signs << _ONE & ~starts
        bad |= spaces << _ONE & ~(starts | signs)
        bad |= (commas << _ONE | _ONE) & ~(starts | signs | spaces)
        bad |= points & ~(digits << _ONE)
        bad |= points << _ONE & ~digits
        bad |= (zeros & starts) << _ONE & ~points
        count = ones(stops)
        if stops == _ZERO or bad & upto != _ZERO or k + count > last:
            return _ZERO, begin
        end = here + _U(63) - leading_zeros(stops)
        signs <<= _ONE
        # Four at a time: how many there are could not be foreseen. What is too much is overwritten.
        i = k
        while i < k + count:
            for _ in range(4):
                start, stop = trailing_zeros(starts), trailing_zeros(stops)
                starts &= starts - _ONE
                stops &= stops - _ONE
                width = stop - start
                wide |= width + _SEVEN
                found = word(text, here + stop - _EIGHT) ^ _ZEROS
                shift = (_ZERO - width * _EIGHT) & _U(63)
                bits[i] = found >> shift << shift | signs >> (start & _U(63)) << _U(63)
                i += _ONE
        k += count
        here = end + _ONE
        if close & upto != _ZERO:
            ordinary = text[end] == _LIST_END and wide < _U(16) and _are_numbers(bits, begin, k)
            return (here, k) if ordinary else (_ZERO, begin)
    return _ZERO, begin


@inlined
def _are_numbers(bits: Any, begin: Any, end: Any) -> bool:
    """Make float64 of bits [begin..end], each of which holds the digits of a number, with its point as 0x1e,
    and in the highest bit its sign. False where one has no point, or several."""
    odd = _ZERO
    for k in range(begin, end):
        found = bits[k]
        sign = found & _TOP
        found ^= sign
        point = found & _POINTS  # no digit has this bit
        odd |= (point & (point - _ONE)) | _U(point == _ZERO)
        found ^= (point << _ONE) - (point >> _THREE)
        before = (point >> _U(4)) - _ONE  # all bytes before the point, which is taken out
        found = (found & before) << _EIGHT | found & ~before
        # Neighbours are put together, three times.
        found = ((found << _THREE) + (found << _ONE) + (found >> _EIGHT)) & _PAIRS
        found = (found & _FOURS) * _HUNDREDS + ((found >> _U(16)) & _FOURS) * _UNITS
        place = ((before & _LOWEST) * _LOWEST) >> _U(56)
        number = np.float64(np.int32(found >> _U(32))) / _TENS[place & _U(7)]
        bits[k] = float_bits(number) | sign
    return bool(odd == _ZERO)
