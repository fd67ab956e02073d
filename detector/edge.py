"""From the configuration to the parts that do the work: reader, decoder, core settings, profiles.

Here, and in the other files around the core, the clock is looked at; never in the core.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from connectors.file_sinks import STDOUT
from connectors.files import FileSource
from connectors.formats.native import NativeDecoder
from connectors.pseudonyms import PseudonymDecoder, hashed
from connectors.query_log import Decoder, QueryLog
from detector import config as configuration
from detector.config import Config
from detector.errors import InputError
from detector.query import DeadLetter
from detector.settings import Settings

if TYPE_CHECKING:  # the core is slow to import, and `--help` needs none of it
    from detector.profile import ModelProfile


def load_config(path: Path | None) -> Config:
    """The configuration of a file, or the defaults. Raises ConfigError."""
    return configuration.load(path, os.environ) if path else Config()


def settings_of(config: Config, *, budget: float | None = None, learn: bool | None = None) -> Settings:
    """What the configuration says to the core; `budget` and `learn`, given on the command line, win."""
    return Settings(
        gap=config.sessions.gap_minutes * 60.0,
        memory=config.sessions.memory_mb << 20,
        budget=config.detection.false_alert_budget if budget is None else budget,
        learn=config.detection.learn if learn is None else learn,
        prior=config.detection.prior,
        tenant=config.detection.tenant,
        declared=frozenset(_as_read(config, config.detection.declared_clients)),
    )


def _as_read(config: Config, clients: Sequence[str]) -> Sequence[str]:
    """Client ids as records carry them."""
    key = config.privacy.client_id_key.encode()
    return (
        [hashed(name, key) for name in clients] if key and "client_id" in config.privacy.hashed else clients
    )


def load_profiles(config: Config, path: Path | None) -> dict[str, ModelProfile]:
    """Profiles of the file given, or of the configured one; none without either. Raises ProfileError."""
    from detector import profile

    chosen = path or (Path(config.detection.profile) if config.detection.profile else None)
    return profile.load(chosen) if chosen else {}


def make_decoder(config: Config) -> Decoder:
    """The reader of the native record format, within the configured limits, with ids hashed if so told."""
    limits, privacy = config.limits, config.privacy
    decoder = NativeDecoder(
        record_bytes=limits.record_bytes, nesting=limits.nesting, input_length=limits.input_length
    )
    if not privacy.client_id_key:
        return decoder
    return PseudonymDecoder(decoder, privacy.client_id_key, privacy.hashed)


def open_source(logs: Sequence[str | Path], config: Config) -> FileSource:
    """Log files, checked for being readable. Raises InputError."""
    return FileSource(
        logs,
        batch_queries=config.pipeline.batch_queries,
        record_bytes=config.limits.record_bytes,
        latest=time.time() + config.limits.future_seconds,
    )


def read_log(
    source: FileSource, config: Config, take_letters: Callable[[list[DeadLetter]], None]
) -> QueryLog:
    """The records of log files in one order; dead letters go to `take_letters`."""
    return QueryLog(
        source,
        make_decoder(config),
        take_letters,
        batch_queries=config.pipeline.batch_queries,
        window_seconds=config.sessions.gap_minutes * 60.0,
    )


def refuse_overwriting(
    outputs: Sequence[Path], source: FileSource, *, config: Path | None = None, profile: Path | None = None
) -> None:
    """Raises InputError when an output would overwrite what is to be read, or another output."""
    taken = [(Path(file.path), "one of the logs to be read") for file in source.files]
    taken += [(config, "the configuration")] if config else []
    taken += [(profile, "the profile that judges")] if profile else []
    for output in outputs:
        if str(output) == STDOUT:
            continue
        for path, what in taken:
            if _same_file(output, path):
                raise InputError(f"{output} is {what}; name another file to write to")
        taken.append((output, "another output of this run"))


def _same_file(one: Path, other: Path) -> bool:
    if os.path.realpath(one) == os.path.realpath(other):
        return True
    try:
        return one.samefile(other)
    except OSError:  # one of them is not there yet, or cannot be looked at
        return False
