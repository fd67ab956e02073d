"""Tests of the anomaly models."""
