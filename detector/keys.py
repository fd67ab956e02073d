"""Keys of 128 bits for tuples of texts, many at a time: equal tuples, equal keys, and nobody finds two alike.

Ids come from the log, so whoever chooses them must not be able to pass for somebody else. BLAKE2b is made
for that (RFC 7693); a compiled loop over a batch takes a fifth of the time of calls of hashlib.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from models.compiled import inlined, jit, part
from models.words import word

Keys = npt.NDArray[np.uint64]


def _secret() -> Keys:
    words = [hash(f"where the search for a key begins, {n}") for n in range(2)]
    return np.array(words, dtype=np.int64).view(np.uint64) | np.uint64(1)


SECRET = _secret()
"""Two odd numbers, others in each process, as Python's own hashes are. They say where searches in tables
begin, so that nobody who chooses ids can make many crowd at one place; they change no result."""

_IV = np.array(
    [
        0x6A09E667F3BCC908,
        0xBB67AE8584CAA73B,
        0x3C6EF372FE94F82B,
        0xA54FF53A5F1D36F1,
        0x510E527FADE682D1,
        0x9B05688C2B3E6C1F,
        0x1F83D9ABFB41BD6B,
        0x5BE0CD19137E2179,
    ],
    dtype=np.uint64,
)
_SIGMA = np.array(
    [
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
        [14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3],
        [11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4],
        [7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8],
        [9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13],
        [2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9],
        [12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11],
        [13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10],
        [6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5],
        [10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0],
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
        [14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3],
    ],
    dtype=np.uint64,
)


@inlined
def _mix(a: Any, b: Any, c: Any, d: Any, x: Any, y: Any) -> Any:
    """G of RFC 7693, section 3.1."""
    a = a + b + x
    d ^= a
    d = (d >> np.uint64(32)) | (d << np.uint64(32))
    c = c + d
    b ^= c
    b = (b >> np.uint64(24)) | (b << np.uint64(40))
    a = a + b + y
    d ^= a
    d = (d >> np.uint64(16)) | (d << np.uint64(48))
    c = c + d
    b ^= c
    b = (b >> np.uint64(63)) | (b << np.uint64(1))
    return a, b, c, d


@inlined
def _compress(h: Any, m: Any, count: int, last: bool) -> None:
    """F of RFC 7693, section 3.2: state h [8], block m [16], bytes so far.

    The sixteen words that are worked on are variables, which stay in registers where an array would not.
    """
    v0, v1, v2, v3, v4, v5, v6, v7 = h[0], h[1], h[2], h[3], h[4], h[5], h[6], h[7]
    v8, v9, v10, v11 = _IV[0], _IV[1], _IV[2], _IV[3]
    v12, v13, v14, v15 = _IV[4] ^ np.uint64(count), _IV[5], _IV[6], _IV[7]
    if last:
        v14 = ~v14
    for r in range(12):
        s = part(_SIGMA, r)
        v0, v4, v8, v12 = _mix(v0, v4, v8, v12, m[s[0]], m[s[1]])
        v1, v5, v9, v13 = _mix(v1, v5, v9, v13, m[s[2]], m[s[3]])
        v2, v6, v10, v14 = _mix(v2, v6, v10, v14, m[s[4]], m[s[5]])
        v3, v7, v11, v15 = _mix(v3, v7, v11, v15, m[s[6]], m[s[7]])
        v0, v5, v10, v15 = _mix(v0, v5, v10, v15, m[s[8]], m[s[9]])
        v1, v6, v11, v12 = _mix(v1, v6, v11, v12, m[s[10]], m[s[11]])
        v2, v7, v8, v13 = _mix(v2, v7, v8, v13, m[s[12]], m[s[13]])
        v3, v4, v9, v14 = _mix(v3, v4, v9, v14, m[s[14]], m[s[15]])
    h[0] ^= v0 ^ v8
    h[1] ^= v1 ^ v9
    h[2] ^= v2 ^ v10
    h[3] ^= v3 ^ v11
    h[4] ^= v4 ^ v12
    h[5] ^= v5 ^ v13
    h[6] ^= v6 ^ v14
    h[7] ^= v7 ^ v15


@jit
def blake2b_128(text: Any, ends: Any, out: Any) -> None:
    """BLAKE2b (RFC 7693) with digests of 16 bytes, of messages that lie one after the other in text [bytes].

    ends [n]: where each message ends. out [n, 2] uint64 receives the digests, little-endian.
    """
    h, m = np.empty(8, dtype=np.uint64), np.empty(16, dtype=np.uint64)
    begin = 0
    for i in range(ends.shape[0]):
        end = ends[i]
        for k in range(8):
            h[k] = _IV[k]
        h[0] ^= np.uint64(0x01010010)
        at = begin
        while True:
            stop = min(at + 128, end)
            words = (stop - at) >> 3
            for k in range(words):
                m[k] = word(text, np.uint64(at + 8 * k))
            for k in range(words, 16):
                m[k] = np.uint64(0)
            for j in range(at + 8 * words, stop):
                m[words] |= np.uint64(text[j]) << np.uint64(8 * ((j - at) & 7))
            _compress(h, m, stop - begin, stop == end)
            at = stop
            if at == end:
                break
        out[i, 0], out[i, 1] = h[0], h[1]
        begin = end


def keys_of(fields: Sequence[Sequence[str]]) -> Keys:
    """A key [n, 2] for each of n tuples of texts, given as columns [fields][n]: equal tuples, equal key.

    128 bits of BLAKE2b over the lengths of the tuple's fields and the fields: nobody can find two tuples with
    one key.
    """
    n = len(fields[0])
    texts = ["".join(row) for row in zip(*fields, strict=True)]
    joined = "".join(texts)
    if joined.isascii():
        body = joined.encode()
        lengths = [np.fromiter(map(len, column), np.int64, n) for column in fields]
    else:
        encoded = [[text.encode("utf-8", "surrogatepass") for text in column] for column in fields]
        body = b"".join(b"".join(row) for row in zip(*encoded, strict=True))
        lengths = [np.fromiter(map(len, column), np.int64, n) for column in encoded]
    sizes = np.stack(lengths, axis=1).astype("<u4")
    out = np.empty((n, 2), dtype=np.uint64)
    if n:
        message = np.empty(sizes.nbytes + len(body), dtype=np.uint8)
        ends = np.cumsum(sizes.sum(axis=1) + 4 * len(fields)).astype(np.int64)
        _weave(sizes.view(np.uint8), np.frombuffer(body, dtype=np.uint8), ends, message)
        blake2b_128(message, ends, out)
    return out


def keys_of_messages(messages: npt.NDArray[np.uint8], ends: npt.NDArray[np.int64]) -> Keys:
    """The same keys [n, 2], of messages that hold lengths and fields already (`detector.decoded`)."""
    out = np.empty((len(ends), 2), dtype=np.uint64)
    blake2b_128(messages, ends, out)
    return out


@jit
def _weave(heads: Any, body: Any, ends: Any, out: Any) -> None:
    """Put each message's head [n, width] before its part of `body`: out [bytes], messages up to ends [n]."""
    at, read = 0, 0
    for i in range(ends.shape[0]):
        for j in range(heads.shape[1]):
            out[at] = heads[i, j]
            at += 1
        while at < ends[i]:
            out[at] = body[read]
            at += 1
            read += 1
