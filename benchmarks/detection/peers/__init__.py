"""Published detectors, rebuilt from their descriptions, on the traces that querywatch is measured on.

Each file holds one detector: a class with `name`, and `alarms`, which gets one model's benign history and
the trace and says for every query of the trace whether it raised an alarm, from what came before it only.
What a paper's detector has and a log has not (a trained encoder, released weights) is replaced by what its
docstring says.
"""

from __future__ import annotations

from benchmarks.detection.peers.base import Peer, Stream
from benchmarks.detection.peers.blacklight import Blacklight
from benchmarks.detection.peers.delta_similarity import DeltaSimilarity
from benchmarks.detection.peers.half_space import HalfSpacePerQuery
from benchmarks.detection.peers.prada import Prada
from benchmarks.detection.peers.privmon import PrivMon
from benchmarks.detection.peers.rate_rule import RateRule
from benchmarks.detection.peers.stateful import StatefulDetection

__all__ = ["PEERS", "Peer", "Stream"]

PEERS: tuple[Peer, ...] = (
    Prada(),
    StatefulDetection(),
    Blacklight(),
    DeltaSimilarity(),
    PrivMon(),
    HalfSpacePerQuery(),
    RateRule(),
)
