"""Queries a second: a synthetic log through `querywatch replay` on one core, and its stages alone."""
