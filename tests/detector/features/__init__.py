"""Tests of the features on streams with known answers."""
