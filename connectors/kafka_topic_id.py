"""Which topic it is that bears the name: the cluster's id of it, which is another when it was made anew."""

from __future__ import annotations

import time
from typing import Any

from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from connectors.kafka_connection import REQUEST_SECONDS, KafkaSettings, connect, explain
from detector.errors import SourceError


class TopicId:
    """Asks over a connection of its own, which stays open, since neither client tells of another topic."""

    def __init__(self, settings: KafkaSettings) -> None:
        self.known = ""
        """The id of the topic that is being read; empty before it is asked for, and where it has none."""
        self._settings = settings
        self._admin: Any = None
        self._found = ""
        self._asked_at = time.monotonic()

    def is_another(self) -> bool:
        """Ask; whether the name means another topic than the known one, which stays the known one until
        `accept`. One that is gone and not there again is no other. Raises SourceError."""
        self._found = self._ask()
        self._asked_at = time.monotonic()
        if self._found and self.known not in {"", self._found}:
            return True
        self.known = self._found or self.known
        return False

    def accept(self) -> None:
        """From now on the topic that was found last is the one that is read."""
        self.known = self._found

    def asked_within(self, seconds: float) -> bool:
        """Whether the last answer is at most so old."""
        return time.monotonic() <= self._asked_at + seconds

    def _ask(self) -> str:
        """The id; empty where no such topic is, or the broker is too old to have ids."""
        if self._admin is None:
            milliseconds = int(REQUEST_SECONDS * 1000)
            self._admin = connect(KafkaAdminClient, self._settings, request_timeout_ms=milliseconds)
        try:
            topics = self._admin.describe_topics([self._settings.topic])
        except KafkaError as error:
            raise SourceError(explain(error, self._settings), topic=self._settings.topic) from error
        return str(topics[0].get("topic_id") or "") if topics else ""

    def close(self) -> None:
        """Release the connection; the next question makes another."""
        if self._admin is not None:
            self._admin.close()
            self._admin = None
