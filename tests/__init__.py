"""The tests. They mirror the tree; `tests.servers` starts the real Kafka and Elasticsearch they run against."""
