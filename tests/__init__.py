"""The tests mirror the tree; `tests.servers` starts the real Kafka and Elasticsearch for them."""
