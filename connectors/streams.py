"""Bytes of a log file, decompressed by its first bytes rather than its name, in bounded memory."""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator
from itertools import pairwise

import zstandard

CHUNK_BYTES = 256 * 1024
_GZIP_MAGIC = b"\x1f\x8b"
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_ZSTD_SLICE = 1024
"""Compressed bytes given to zstd at once: its blocks unfold to 32 MiB per KiB at the very most."""
_ZSTD_CHECKSUM = 4
"""Bytes of the checksum that ends a frame."""
_ZSTD_MAX_WINDOW = 128 * 1024 * 1024
_BOMB_BYTES = 1024 * 1024 * 1024
_BOMB_RATIO = 1000


class DamagedStream(Exception):
    """A compressed stream is cut off or damaged; what came out before is good."""


class ByteStream:
    """The decompressed bytes of one open binary file: plain, gzip or zstd, also several in a row.

    `bytes_read` counts the bytes taken from the file, for progress.
    """

    def __init__(self, file: io.BufferedIOBase) -> None:
        self._file = file
        self.bytes_read = 0

    def pieces(self) -> Iterator[bytes]:
        """Yield the content in pieces of bounded size.

        Raises DamagedStream, and OSError as the file does.
        """
        head = b""
        while len(head) < len(_ZSTD_MAGIC):
            more = self._read()
            if not more:
                break
            head += more
        if head.startswith(_GZIP_MAGIC):
            yield from self._guarded(self._gzip(head))
        elif head.startswith(_ZSTD_MAGIC):
            yield from self._guarded(self._zstd(head))
        else:
            yield from self._chunks(head)

    def _read(self) -> bytes:
        chunk = self._file.read1(CHUNK_BYTES)
        self.bytes_read += len(chunk)
        return chunk

    def _chunks(self, head: bytes) -> Iterator[bytes]:
        chunk = head
        while chunk:
            yield chunk
            chunk = self._read()

    def _guarded(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """The same pieces until the stream is damaged or unfolds like a decompression bomb."""
        produced = 0
        try:
            for piece in pieces:
                yield piece
                produced += len(piece)
                if produced > _BOMB_BYTES and produced > _BOMB_RATIO * self.bytes_read:
                    raise DamagedStream(f"unfolds more than {_BOMB_RATIO}-fold, like a decompression bomb")
        except (zlib.error, zstandard.ZstdError) as error:
            raise DamagedStream(f"the compressed data is damaged ({error})") from None

    def _gzip(self, head: bytes) -> Iterator[bytes]:
        member = zlib.decompressobj(wbits=31)
        for chunk in self._chunks(head):
            data = chunk
            while data:
                if member.eof:
                    data = data.lstrip(b"\0")  # some writers pad the end with zeros
                    if not data:
                        break
                    member = zlib.decompressobj(wbits=31)
                before = member.copy()
                try:
                    piece = member.decompress(data, CHUNK_BYTES)
                except zlib.error:
                    yield from _up_to_the_damage(before, data)
                    raise
                yield piece
                data = member.unused_data if member.eof else member.unconsumed_tail
        if not member.eof:
            yield member.flush()
        if not member.eof:
            raise DamagedStream("the gzip stream ends in the middle")

    def _zstd(self, head: bytes) -> Iterator[bytes]:
        decompressor = zstandard.ZstdDecompressor(max_window_size=_ZSTD_MAX_WINDOW)
        frame = decompressor.decompressobj()
        for chunk in self._chunks(head):
            # The checksum by itself: when it is wrong, zstd gives up all output of the call that fails.
            body = max(0, len(chunk) - _ZSTD_CHECKSUM)
            for start, end in pairwise([*range(0, body, _ZSTD_SLICE), body, len(chunk)]):
                data = chunk[start:end]
                while data:
                    if frame.eof:
                        frame = decompressor.decompressobj()
                    yield frame.decompress(data)
                    data = frame.unused_data if frame.eof else b""
        if not frame.eof:
            raise DamagedStream("the zstd stream ends in the middle")


def _up_to_the_damage(member: zlib._Decompress, data: bytes) -> Iterator[bytes]:
    """What the bytes before the damaged one unfold to: zlib gives up all output of the call that fails."""
    for position in range(len(data)):
        try:
            piece = member.decompress(data[position : position + 1])
        except zlib.error:
            return
        if piece:
            yield piece
