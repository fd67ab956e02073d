"""`querywatch resend`: alerts that a sink did not take, from the dead letters to it, each stored once."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path

import msgspec

from connectors.base import AlertSink
from connectors.file_sinks import read_letter_file
from connectors.sqlite import is_database, read_dead_letters
from detector.alert import Alert
from detector.config import Config
from detector.destinations import resend_sinks
from detector.query import DeadLetter

OF_ALERTS = ("sink_down", "rejected_by_sink")
"""Reasons of dead letters that hold an alert."""
AT_ONCE = 500
SHOWN = 5
"""Refusals that are told one by one."""
_ID = re.compile(r"[0-9a-f]{40}")


class Resent(msgspec.Struct):
    """What became of the dead letters: `read` in all, those of the alerts among them.

    elsewhere: alerts for sinks that the configuration does not name, by name; unreadable: dead letters that
    should hold an alert and do not.
    """

    read: int = 0
    stored: int = 0
    already: int = 0
    refused: list[str] = msgspec.field(default_factory=list)
    elsewhere: Counter[str] = msgspec.field(default_factory=Counter)
    unreadable: int = 0

    @property
    def well(self) -> bool:
        """Whether every alert is stored now."""
        return not (self.refused or self.elsewhere or self.unreadable)

    def lines(self) -> Iterator[str]:
        """For a person."""
        yield f"{self.read:,} dead letters read"
        yield f"{self.stored:,} alerts stored, {self.already:,} were stored already"
        if self.refused:
            yield f"{len(self.refused):,} refused again; they stay where they are"
            yield from (f"  {reason}" for reason in self.refused[:SHOWN])
        for sink, count in sorted(self.elsewhere.items()):
            yield f"{count:,} are for the sink {sink!r}, which the configuration does not name"
        if self.unreadable:
            yield f"{self.unreadable:,} hold no alert that can be read"


def resend(config: Config, files: Sequence[Path]) -> Resent:
    """Send the alerts among the dead letters of `files`, or of where the service puts them, to their sinks.

    Dead letters stay where they are: what is stored already is known by its id. Raises what a person must
    mend; doing it again is then safe.
    """
    return send(_letters(config, files), resend_sinks(config))


def send(letters: Iterable[DeadLetter], sinks: Mapping[str, AlertSink]) -> Resent:
    """Write the alerts among `letters` to the sinks that they are for. Raises SinkError."""
    account = Resent()
    opened: set[str] = set()
    letters = iter(letters)
    with ExitStack() as stack:
        while some := list(islice(letters, AT_ONCE)):
            account.read += len(some)
            for name, alerts in _by_sink(some, account).items():
                sink = sinks.get(name)
                if sink is None:
                    account.elsewhere[name] += len(alerts)
                    continue
                if name not in opened:
                    sink.open()
                    stack.callback(sink.close)
                    opened.add(name)
                delivery = sink.write(alerts)
                account.stored += delivery.created
                account.already += delivery.duplicates
                account.refused += [letter.detail for letter in delivery.rejected]
    return account


def _by_sink(letters: Iterable[DeadLetter], account: Resent) -> dict[str, list[Alert]]:
    """The alerts, each once, by the sink that did not take them."""
    found: dict[str, dict[str, Alert]] = {}
    for letter in letters:
        if letter.reason in OF_ALERTS:
            alert = _alert(letter)
            if alert is None:
                account.unreadable += 1
            else:
                found.setdefault(letter.source, {})[alert.id] = alert
    return {name: list(alerts.values()) for name, alerts in found.items()}


def _alert(letter: DeadLetter) -> Alert | None:
    """The alert of a dead letter; None when it holds none of ours."""
    try:
        document = msgspec.json.decode(letter.raw, type=dict)
    except ValueError:
        return None
    name = document.pop("_id", None)
    ours = isinstance(document.get("querywatch"), dict) and isinstance(document.get("event"), dict)
    if not ours or not isinstance(name, str) or not _ID.fullmatch(name):
        return None
    return Alert(name, document, letter.offset)


def _letters(config: Config, files: Sequence[Path]) -> Iterator[DeadLetter]:
    if not files and config.kafka.dead_letter_topic:
        from connectors.kafka_dead_letters import read_dead_letters as read_topic

        for letters in read_topic(
            msgspec.structs.replace(config.kafka, topic=config.kafka.dead_letter_topic)
        ):
            yield from letters
        return
    for file in files or [Path(config.sqlite.path)]:
        if not files or is_database(file):
            yield from read_dead_letters(file, OF_ALERTS)
        else:
            yield from read_letter_file(file)
