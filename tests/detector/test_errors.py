"""The exception tree: what callers may catch, and what the texts say."""

from __future__ import annotations

import inspect

import pytest

from detector import errors


def test_everything_is_a_querywatch_error_and_in_the_tree() -> None:
    tree = errors.__doc__ or ""
    classes = dict(inspect.getmembers(errors, inspect.isclass))
    assert len(classes) >= 10
    for name, kind in classes.items():
        assert issubclass(kind, errors.QuerywatchError)
        assert name in tree


@pytest.mark.parametrize("kind", [errors.ConfigError, errors.InputError, errors.ProfileError])
def test_what_a_user_can_mend(kind: type[Exception]) -> None:
    assert issubclass(kind, errors.UsageError)
    assert not issubclass(kind, errors.InfrastructureError)


def test_texts_say_where() -> None:
    assert str(errors.ConfigError("kafka.topic", "is empty")) == "kafka.topic: is empty"
    assert str(errors.ConfigError("", "is no TOML")) == "is no TOML"
    lost = errors.SourceError("gone", topic="t", partition=2, offset=30)
    assert str(lost) == "gone (topic t, partition 2, offset 30)"
    assert (lost.topic, lost.partition, lost.offset) == ("t", 2, 30)
    assert str(errors.SourceError("gone")) == "gone"
    down = errors.SinkUnavailable("sqlite", "disk is full")
    assert str(down) == "sqlite: disk is full"
    assert down.sink == "sqlite"
    assert isinstance(down, errors.InfrastructureError)
