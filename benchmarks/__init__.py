"""Benchmarks: programs that measure or make test data; nothing of the service imports them."""
