"""Online anomaly models: arrays in, scores out. They know nothing of queries, sessions or alerts.

Each file holds one model with the interface of `models.base`; `models.checks` is the specification that
every one of them must satisfy.
"""
