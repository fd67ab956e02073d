"""`python -m tests.servers`: both servers for a developer, until Ctrl-C. `--fetch`: only download them."""

from __future__ import annotations

import signal
import sys
from contextlib import ExitStack, suppress

from tests.servers import elasticsearch, kafka
from tests.servers.errors import ServerError


def main(arguments: list[str]) -> int:
    """Exit code 0, or 1 after one line that says what is missing, or 2 for wrong arguments."""
    if arguments not in ([], ["--fetch"]):
        sys.stderr.write("usage: python -m tests.servers [--fetch]\n")
        return 2
    try:
        if arguments:
            kafka.fetch()
            elasticsearch.fetch()
        else:
            _serve()
    except ServerError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _serve() -> None:
    # A `kill` must stop the servers too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with suppress(KeyboardInterrupt), ExitStack() as running:
        sys.stdout.write("Starting Kafka and Elasticsearch\n")
        broker = running.enter_context(kafka.KafkaServer())
        sys.stdout.write(f"Kafka {kafka.VERSION}: {broker.bootstrap}\n")
        node = running.enter_context(elasticsearch.ElasticsearchServer())
        sys.stdout.write(f"Elasticsearch {elasticsearch.VERSION}: {node.url}\nCtrl-C stops both\n")
        sys.stdout.flush()
        signal.pause()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
