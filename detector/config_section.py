"""A section of the configuration: closed to unknown keys, and silent about its secrets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from detector.substitution import HIDDEN

Positive = Annotated[int, Meta(ge=1)]
Secret = Annotated[str, Meta(extra={"secret": True})]
_USER_INFO = re.compile(r"//.*@")


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is marked `Secret` shows in no text that is made of it."""

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return list(_shown(self))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={shown!r}' for name, shown in _shown(self))})"


def _shown(section: msgspec.Struct) -> Iterator[tuple[str, Any]]:
    """Fields and values of a section, without secrets and without those that an address may carry."""
    hints = get_type_hints(type(section), include_extras=True)
    for name in section.__struct_fields__:
        value = getattr(section, name)
        if value and _is_secret(hints[name]):
            yield name, HIDDEN
        elif isinstance(value, tuple):
            yield name, tuple(_USER_INFO.sub(f"//{HIDDEN}@", part) for part in value)
        else:
            yield name, value


def _is_secret(hint: Any) -> bool:
    return any(isinstance(part, Meta) and (part.extra or {}).get("secret") for part in get_args(hint))


_WORDS = {
    "array": "a list",
    "bool": "true or false",
    "float": "a number",
    "int": "a whole number",
    "object": "a section",
    "str": "text in quotes",
}


def explained(problem: str, root: type[msgspec.Struct], path: str) -> str:
    """What msgspec says of the value at `path`, such as `sinks.alerts[0]`, in words of the file."""
    words = re.sub(r"`(\w+)`", lambda found: _WORDS.get(found[1], found[0]), problem)
    if not problem.startswith("Invalid enum value"):
        return words
    hint: Any = root
    for name in re.sub(r"\[\d+\]", "", path).split("."):
        hint = get_type_hints(hint)[name]
    return f"{words}; choose among {', '.join(_literals(hint))}"


def _literals(hint: Any) -> list[str]:
    if get_origin(hint) is Literal:
        return [repr(value) for value in get_args(hint)]
    return [value for part in get_args(hint) for value in _literals(part)]
