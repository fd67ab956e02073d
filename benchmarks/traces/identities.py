"""Names, addresses and programs of clients. Drawn alike for honest clients and attackers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

USER_AGENTS = (
    "python-requests/2.32.3",
    "python-httpx/0.28.1",
    "Go-http-client/2.0",
    "okhttp/4.12.0",
    "axios/1.7.9",
    "curl/8.9.1",
    "Java-http-client/21.0.5",
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/138.0.0.0 Safari/537.36",
)
NETWORKS = ("192.0.2", "198.51.100", "203.0.113", "10.20.4", "10.31.7")
"""Documentation and private address ranges: no real host is named."""


@dataclass(frozen=True)
class Identity:
    """A client as the gateway knows it. `digits` are the significant digits its program writes."""

    client_id: str
    source_ip: str
    user_agent: str
    digits: int


class Directory:
    """The clients of each model. A session belongs to a known client or to one never seen before."""

    def __init__(self, rng: np.random.Generator, new_share: float = 0.3) -> None:
        self._rng, self._new_share = rng, new_share
        self._known: dict[str, list[Identity]] = {}

    def pick(self, model_id: str) -> Identity:
        """A client of that model; new with `new_share`."""
        known = self._known.setdefault(model_id, [])
        if known and self._rng.random() >= self._new_share:
            return known[int(self._rng.integers(len(known)))]
        return self.register(model_id)

    def meet(self, model_id: str, who: Identity) -> None:
        """Know a client from elsewhere."""
        self._known.setdefault(model_id, []).append(who)

    def register(self, model_id: str) -> Identity:
        """A new client of that model."""
        known = self._known.setdefault(model_id, [])
        network = NETWORKS[int(self._rng.integers(len(NETWORKS)))]
        known.append(
            Identity(
                client_id=f"key-{self.token(6)}",
                source_ip=f"{network}.{int(self._rng.integers(1, 255))}",
                user_agent=USER_AGENTS[int(self._rng.integers(len(USER_AGENTS)))],
                digits=int(self._rng.choice([6, 7, 9])),
            )
        )
        return known[-1]

    def token(self, size: int) -> str:
        """A random hexadecimal string of 2 * size characters."""
        return self._rng.bytes(size).hex()
