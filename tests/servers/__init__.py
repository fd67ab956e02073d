"""A real Kafka and a real Elasticsearch for the tests, fetched through Maven, started on free local ports.

`python -m tests.servers` starts both, prints their addresses and waits for Ctrl-C.
"""

from __future__ import annotations
