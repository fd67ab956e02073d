"""Faults on purpose: the service against a real Kafka and Elasticsearch that are killed, cut and filled up.

Each part compares alerts and saved states with those of an undisturbed run over the same records.
"""
