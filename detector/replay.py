"""The batch run: log files through one shard to the end, alerts and dead letters to their sinks."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from connectors.files import FileSource
from detector.config import Config
from detector.edge import read_log
from detector.errors import InputError
from detector.outputs import Outputs
from detector.progress import Reading
from detector.query import REASONS, DeadLetter
from detector.settings import Settings
from detector.summary import Account, describe_models

if TYPE_CHECKING:
    from detector.profile import ModelProfile

WITHOUT_A_RECORD = {"truncated", "too_large"}
"""Reasons that say nothing about the format of what was read."""


def replay(
    source: FileSource,
    config: Config,
    settings: Settings,
    profiles: Mapping[str, ModelProfile],
    outputs: Outputs,
    *,
    learned: bool = False,
) -> Account:
    """Read the logs to the end; what is found goes to `outputs`, which are open. The account of it, which
    says whether the profiles were `learned` from these very logs or given.

    Ctrl-C ends it early, with `interrupted` in the account. Raises SourceError, SinkUnavailable or
    SinkNotReady; replaying the same logs again then doubles nothing.
    """
    from detector.pipeline import Shard, warm_up

    account = Account(alerts_in=outputs.names(), dead_letters_in=outputs.dead_letter_names())

    def take_letters(letters: list[DeadLetter]) -> None:
        account.add_letters(letters)
        outputs.write([], letters)

    log = read_log(source, config, take_letters)
    shard = Shard(settings, profiles, source=source.files[0].source)
    warm_up(profiles)
    started = time.monotonic()
    try:
        with Reading("replay", source) as progress:
            for records in log.batches():
                account.records += len(records)
                outcome = shard.process(records)
                letters = [log.at_its_origin(letter) for letter in outcome.dead_letters]
                account.queries += outcome.queries
                account.repeated += outcome.repeated
                account.add_letters(letters)
                account.add_letters(outputs.write(outcome.alerts, letters))
                account.add_alerts(outcome.alerts)
                progress.advance(account.queries)
    except KeyboardInterrupt:
        account.interrupted = True
    account.seconds = time.monotonic() - started
    account.late = log.late
    account.sessions = sum(state.begun for state in shard.models.values())
    account.known_before = outputs.duplicates
    account.models = describe_models(shard, {} if learned else dict(profiles))
    return account


def require_a_log(account: Account, source: FileSource) -> None:
    """Raises InputError when something was read and none of it was a record of the native format."""
    if account.records or account.interrupted or not account.dead_letters:
        return
    names = ", ".join(file.source for file in source.files[:3])
    reason = REASONS[account.reasons.most_common(1)[0][0]]
    if set(account.reasons) <= WITHOUT_A_RECORD:
        raise InputError(f"{names}: no query could be read: {reason}")
    raise InputError(f"{names}: not a query log in the native format: {reason}; first {account.example}")
