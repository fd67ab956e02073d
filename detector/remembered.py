"""Queries that are remembered for the alerts that may still come of them: when, and who sent them, without
their inputs and answers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from detector.query import Record

IDS = ("client_id", "session_id", "request_id", "source_ip", "user_agent", "tenant_id")


def remember(records: Iterable[Record]) -> list[Record]:
    """The same queries, without what takes room; ids that come again are held once."""
    held: dict[str, str] = {}
    return [
        _query(
            held.setdefault(one.model_id, one.model_id),
            one.timestamp,
            one.offset,
            [held.setdefault(text, text) for text in (getattr(one, name) for name in IDS)],
        )
        for one in records
    ]


def pack(queries: Sequence[Record]) -> npt.NDArray[np.generic]:
    """Remembered queries as bytes, for a saved state."""
    rows = [
        (one.timestamp, one.offset, [getattr(one, name).encode("utf-8", "surrogatepass") for name in IDS])
        for one in queries
    ]
    return np.frombuffer(msgspec.msgpack.encode(rows), dtype=np.uint8)


def unpack(packed: npt.NDArray[np.generic], model_id: str) -> list[Record]:
    """The inverse of `pack`."""
    data = np.asarray(packed, dtype=np.uint8).tobytes()
    rows = msgspec.msgpack.decode(data, type=list[tuple[float, int, list[bytes]]])
    return [
        _query(model_id, time, offset, [text.decode("utf-8", "surrogatepass") for text in ids])
        for time, offset, ids in rows
    ]


def _query(model_id: str, time: float, offset: int, ids: list[str]) -> Record:
    client, session, request, address, agent, tenant = ids
    return Record(
        timestamp=time,
        model_id=model_id,
        client_id=client,
        input=[],
        session_id=session,
        request_id=request,
        source_ip=address,
        user_agent=agent,
        tenant_id=tenant,
        offset=offset,
    )
