"""Values of the configuration that stand elsewhere: `${NAME}` in the environment, `${file:PATH}` in files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from detector.errors import ConfigError

HIDDEN = "***"
"""Stands for a secret in every text."""
_VARIABLE = re.compile(r"\$\{(?:file:([^}]+)|([A-Za-z_][A-Za-z0-9_]*))\}")
_SECRET_BYTES = 64 * 1024


class Substitution:
    """Puts variables and the content of files where a value names them; `used` are those values."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables
        self.used: list[str] = []

    def apply(self, value: Any, path: str) -> Any:
        """`value` with all of them put in. Raises ConfigError."""
        if isinstance(value, dict):
            return {k: self.apply(v, f"{path}.{k}" if path else k) for k, v in value.items()}
        if isinstance(value, list):
            return [self.apply(v, f"{path}[{i}]") for i, v in enumerate(value)]
        if not isinstance(value, str):
            return value
        return _VARIABLE.sub(lambda match: self._found(match, path), value)

    def _found(self, match: re.Match[str], path: str) -> str:
        file, name = match.groups()
        if file is None and name not in self._variables:
            problem = f"the environment has no variable {name}; set it or write the value here"
            raise ConfigError(path, problem)
        value = self._variables[name] if file is None else _content(file, path)
        if value:
            self.used.append(value)
        return value

    def hide(self, text: str) -> str:
        """`text` without what was put in."""
        for value in self.used:
            text = text.replace(value, HIDDEN)
        return text


def _content(file: str, path: str) -> str:
    """A secret in a file: its text without the line break that editors leave at the end."""
    try:
        with Path(file).open("rb") as opened:
            content = opened.read(_SECRET_BYTES + 1)
        if len(content) > _SECRET_BYTES:
            raise ConfigError(path, f"{file} has more than {_SECRET_BYTES} bytes; a secret is expected there")
        text = content.decode("utf-8")
    except OSError as error:
        raise ConfigError(path, f"cannot read {file} ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise ConfigError(path, f"{file} is no text") from error
    return text.removesuffix("\n").removesuffix("\r")
