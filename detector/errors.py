"""Every exception querywatch raises on purpose, as one tree.

    QuerywatchError
    ├── UsageError                the user can mend it; commands exit with code 2
    │   ├── ConfigError           a key of the configuration: its path and what is wrong
    │   ├── InputError            a log that cannot be read at all: its path
    │   └── ProfileError          a profile file that is missing, damaged or of another version
    ├── StateError                a saved state that is damaged, or of another version
    │   └── OtherVersion          of another version: carries which, where it is known
    └── InfrastructureError       a broker, a cluster or a disk is not answering as it must
        ├── SourceError           carries topic, partition and offset where they are known
        ├── Fenced                another process took this member's place: end, do not try again
        └── SinkError             carries the sink's name
            ├── SinkUnavailable   for now: try the same write again later
            └── SinkNotReady      until a person acts: refused credentials, missing template

A record that cannot be used is no exception: it is data, a `detector.query.DeadLetter`.
"""

from __future__ import annotations


class QuerywatchError(Exception):
    """Base of everything below; its text says what, where and what to do."""


class UsageError(QuerywatchError):
    """The input or the configuration is unusable; commands exit with code 2."""


class ConfigError(UsageError):
    """A configuration value is wrong. `path` is the key, such as `kafka.topic`."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}" if path else problem)
        self.path = path


class InputError(UsageError):
    """A log cannot be read at all."""


class ProfileError(UsageError):
    """A profile file is missing, damaged, or written by another version."""


class StateError(QuerywatchError):
    """A saved state is damaged or of another version; the log must be read again."""


class OtherVersion(StateError):
    """A saved state was written by a version of querywatch whose states this one cannot read."""

    def __init__(self, problem: str, *, version: str = "") -> None:
        super().__init__(problem)
        self.version = version


class InfrastructureError(QuerywatchError):
    """A broker, a cluster or a disk does not answer as it must."""


class SourceError(InfrastructureError):
    """Reading failed. Says topic, partition and offset where they are known."""

    def __init__(self, problem: str, *, topic: str = "", partition: int = -1, offset: int = -1) -> None:
        where = f" (topic {topic}, partition {partition}, offset {offset})" if topic else ""
        super().__init__(problem + where)
        self.topic, self.partition, self.offset = topic, partition, offset


class Fenced(InfrastructureError):
    """Another process has taken this member's place in the group; only ending is left."""


class SinkError(InfrastructureError):
    """Writing alerts failed; `sink` names the one that did."""

    def __init__(self, sink: str, problem: str) -> None:
        super().__init__(f"{sink}: {problem}")
        self.sink = sink


class SinkUnavailable(SinkError):
    """The sink is down or overloaded: the same write may be tried again, `retry_after` seconds later if it
    asked for that."""

    def __init__(self, sink: str, problem: str, *, retry_after: float = 0.0) -> None:
        super().__init__(sink, problem)
        self.retry_after = retry_after


class SinkNotReady(SinkError):
    """The sink refuses until a person acts (credentials, template, rights)."""
