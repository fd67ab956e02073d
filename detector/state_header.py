"""What the first line of a state's file says: of what the state is, what it consists of, and which versions
wrote it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from detector.errors import OtherVersion, StateError

FORMAT = 3
"""Of the header. Files of format 1 (no checksum over the header, no offset in it) and 2 (no pieces) are read
and rewritten."""
UNKNOWN = -1
"""The next offset in a file that does not say it."""


class Piece(NamedTuple):
    """A file with changed rows: its name, SHA-256 and bytes."""

    name: str
    sha256: str
    size: int


Pieces = tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class Header:
    """The first line of a file. `next_offset` is UNKNOWN, and texts are empty, where format 1 has none."""

    format: int
    body: str
    release: str
    topic: str
    topic_id: str
    partition: int
    next_offset: int
    sha256: str
    pieces: Pieces = ()

    @property
    def version(self) -> str:
        """What a release must know to read the file: format of the header, version of the state."""
        return f"{self.format}.{self.body}" if self.body else str(self.format)

    def verified(self, state: bytes) -> bytes:
        """The same bytes. Raises StateError when they are not what the header says.

        In format 1 only the state itself can tell.
        """
        if self.format != 1 and hashlib.sha256(state).hexdigest() != self.sha256:
            raise StateError("the checksum does not match: the file is truncated or was changed")
        return state


def _check(fields: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


def line_of(header: Header) -> bytes:
    """The first line of a file."""
    fields = asdict(header)
    return json.dumps({**fields, "check": _check(fields)}, sort_keys=True).encode() + b"\n"


def header_of(line: bytes) -> Header:
    """The header in a first line. Raises StateError for what is none, OtherVersion for an unknown format."""
    try:
        fields = json.loads(line)
        version = int(fields["format"])
        if version == 1:
            return Header(1, "", "", fields["topic"], fields["topic_id"], fields["partition"], UNKNOWN, "")
        if version not in (2, FORMAT):
            raise OtherVersion(
                f"written by querywatch {fields.get('release', '')}, in format {version}; this release reads "
                f"formats 1 to {FORMAT}. Start that release again to go on without a gap",
                version=str(version),
            )
        if fields.pop("check") != _check(fields):
            raise StateError("the header's checksum does not match: the file was changed")
        fields["pieces"] = tuple(Piece(*piece) for piece in fields.get("pieces", ()))
        return Header(**fields)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StateError("not a saved state of querywatch, or damaged") from error
