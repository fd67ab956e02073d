"""How an attacker hides: what becomes of a recorded attack before it is sent, and from whom it comes.

An attack is recorded once and dealt into any variant afterwards. Noise and ordinary queries are answered
by the real model; the attack does not react to them, as if its program came before the disguise.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from benchmarks.traces.recording import Recording
from benchmarks.traces.targets import Target
from benchmarks.traces.text import WORD, some_words, to_length_one
from detector.query import FloatArray, IntArray

DRIP = (60.0, 1_500.0)
"""Seconds between two queries of a slow drip: minutes, and below the gap that ends a session."""
BEYOND_GAP = (1_860.0, 3_600.0)
"""Seconds, longer than that gap of 30 minutes: each query stands alone in its session."""

FEW_DUMMIES, DUMMIES = 0.5, (4.0, 65.0)
"""Share of attackers that have few ordinary rows to hide among, and send these again and again; how many."""


@dataclass(frozen=True)
class Variant:
    """The defaults hide nothing.

    dilution         share of ordinary queries among all, 0 to 0.95
    jitter           standard deviation of noise on every query, in public ranges of a column; of texts, if it
                     is not 0, a word more in every query
    shuffle          queries are sent in random order within windows of this many; 0: as they come
    accounts         new clients that the queries are dealt to, one each in turn; 1: one client, any
    session_queries  queries under one session id, then a new one; 0: one id
    pause            shortest and longest seconds between queries, log-uniform; None: the client's pace
    first            only the attack's first so many queries (a slow attack lasts long); 0: all
    """

    dilution: float = 0.0
    jitter: float = 0.0
    shuffle: int = 0
    accounts: int = 1
    session_queries: int = 0
    pause: tuple[float, float] | None = None
    first: int = 0

    def check(self) -> None:
        """Raises ValueError for a value out of its range."""
        if not 0.0 <= self.dilution <= 0.95:
            raise ValueError(f"dilution must be 0 to 0.95, not {self.dilution}")
        if not 0.0 <= self.jitter <= 1.0:
            raise ValueError(f"jitter must be 0 to 1, not {self.jitter}")
        if self.accounts < 1:
            raise ValueError(f"accounts must be at least 1, not {self.accounts}")
        if min(self.shuffle, self.session_queries, self.first) < 0:
            raise ValueError("shuffle, session_queries and first must be 0 or more")
        if self.pause is not None and not 0.0 < self.pause[0] <= self.pause[1]:
            raise ValueError(f"pause must be a range of seconds above 0, not {self.pause}")

    def settings(self) -> dict[str, object]:
        """The fields that hide something."""
        plain = asdict(PLAIN)
        return {name: value for name, value in asdict(self).items() if value != plain[name]}


PLAIN = Variant()
VARIANTS: dict[str, Variant] = {
    "plain": PLAIN,
    "50% dummies": Variant(dilution=0.5),
    "75% dummies": Variant(dilution=0.75),
    "90% dummies": Variant(dilution=0.9),
    "slow drip": Variant(pause=DRIP, first=200),
    "slow drip beyond the gap": Variant(pause=BEYOND_GAP, first=120),
    "5 accounts": Variant(accounts=5),
    "25 accounts": Variant(accounts=25),
    "100 accounts": Variant(accounts=100),
    "new session id every 10": Variant(session_queries=10),
    "jitter of 2%": Variant(jitter=0.02),
    "shuffled in windows of 16": Variant(shuffle=16),
}
"""What the benchmark measures, by name."""


def disguise(recording: Recording, variant: Variant, target: Target, rng: np.random.Generator) -> Recording:
    """The recording as it is sent: cut, jittered, shuffled, diluted, in this order."""
    sent = recording.cut(variant.first) if variant.first else recording
    if variant.jitter > 0.0:
        sent = _jittered(sent, variant.jitter, target, rng)
    if variant.shuffle > 1:
        sent = sent.take(_shuffled(len(sent), variant.shuffle, rng))
    if variant.dilution > 0.0:
        sent = _diluted(sent, variant.dilution, target, rng)
    return sent


def parts(variant: Variant, n: int) -> tuple[IntArray, IntArray]:
    """For each of n queries its account and, within the account, its session, numbered from 0."""
    query = np.arange(n)
    account = query % variant.accounts
    session = np.zeros(n, dtype=np.int64)
    if variant.session_queries:
        session = query // variant.accounts // variant.session_queries
    return account, session


def pauses(variant: Variant, n: int, rng: np.random.Generator) -> FloatArray | None:
    """Send times [n] in seconds from the start if the variant sets its own pace."""
    if variant.pause is None:
        return None
    low, high = np.log(variant.pause)
    gaps = np.exp(rng.uniform(low, high, n))
    gaps[0] = 0.0
    return np.asarray(np.cumsum(gaps))


def _jittered(sent: Recording, share: float, target: Target, rng: np.random.Generator) -> Recording:
    data = target.dataset
    if data.texts:  # nobody can add noise to a text, but a word
        more = WORD * some_words(rng, len(sent.inputs))
        return sent.resent(to_length_one(sent.inputs + more), target)
    noise = share * rng.normal(size=sent.inputs.shape) * (data.high - data.low)
    inputs = np.clip(sent.inputs + noise, data.low, data.high)
    return sent.resent(inputs, target)


def _shuffled(n: int, window: int, rng: np.random.Generator) -> IntArray:
    order = [first + rng.permutation(min(window, n - first)) for first in range(0, n, window)]
    return np.concatenate(order)


def _diluted(sent: Recording, share: float, target: Target, rng: np.random.Generator) -> Recording:
    extra = round(len(sent) * share / (1.0 - share))
    rows = target.population.draw(rng, extra)
    if extra and rng.random() < FEW_DUMMIES:
        few = int(np.exp(rng.uniform(*np.log(DUMMIES))))
        pool = rows[:few]
        rows = pool[rng.integers(0, len(pool), extra)]
    position = np.sort(rng.integers(0, len(sent) + 1, extra))
    return sent.insert(position, rows, target.predict(rows))
