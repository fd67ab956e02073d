"""Which topic it is that bears the name: the cluster's id of it, which is another when it was made anew."""

from __future__ import annotations

from typing import Any

from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from connectors.kafka_connection import REQUEST_SECONDS, KafkaSettings, connect, explain
from detector.errors import SourceError


class TopicId:
    """Asks over a connection of its own, which stays open, since neither client tells of another topic."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._admin: Any = None

    def ask(self) -> str:
        """The id; empty where no such topic is, or the broker is too old to have ids. Raises SourceError."""
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
