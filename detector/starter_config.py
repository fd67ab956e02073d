"""The commented configuration that `querywatch init` writes, made from the structs and their docstrings.

Nothing is listed here a second time, so it cannot fall behind `detector.config`.
"""

from __future__ import annotations

import ast
import inspect
import json
import textwrap
from collections.abc import Iterator
from typing import Any

import msgspec

from detector import config
from detector.config import Config

WIDTH = 100
HEAD = """\
Configuration of querywatch. Every option is here, with its default; a line that is left out means the
same. "${KAFKA_PASSWORD}" in a value is taken from the environment, "${file:/run/secrets/kafka}" from that
file, so that no secret stands here.
Try it: querywatch check --config THIS_FILE
"""


def starter_config() -> str:
    """TOML text with every option at its default, each with its meaning and its range."""
    described = _docstrings(inspect.getsource(config))
    lines = [*_comment(HEAD)]
    for section in msgspec.structs.fields(Config):
        lines += ["", *_comment(inspect.cleandoc(section.type.__doc__ or "")), f"[{section.name}]"]
        for info in msgspec.structs.fields(section.type):
            about = described.get((section.type.__name__, info.name), "")
            lines += _comment(" ".join(part for part in (about, _allowed(info.type)) if part))
            lines.append(f"{info.name} = {_toml(getattr(section.default, info.name))}")
    return "\n".join(lines) + "\n"


def _docstrings(source: str) -> dict[tuple[str, str], str]:
    """The string below each annotated field, by class and field."""
    found: dict[tuple[str, str], str] = {}
    for node in ast.parse(source).body:
        if not isinstance(node, ast.ClassDef):
            continue
        for field, after in zip(node.body, node.body[1:], strict=False):
            if (
                isinstance(field, ast.AnnAssign)
                and isinstance(field.target, ast.Name)
                and isinstance(after, ast.Expr)
                and isinstance(after.value, ast.Constant)
                and isinstance(after.value.value, str)
            ):
                found[(node.name, field.target.id)] = inspect.cleandoc(after.value.value)
    return found


def _allowed(annotation: Any) -> str:
    """Choices or bounds of a field, as words; empty without any."""
    info = msgspec.inspect.type_info(annotation)
    if isinstance(info, msgspec.inspect.LiteralType):
        return "One of " + ", ".join(json.dumps(value) for value in info.values) + "."
    if isinstance(info, msgspec.inspect.IntType | msgspec.inspect.FloatType):
        bounds = (
            ("above", info.gt),
            ("at least", info.ge),
            ("below", info.lt),
            ("at most", info.le),
        )
        said = [f"{words} {value:g}" for words, value in bounds if value is not None]
        return (", ".join(said).capitalize() + ".") if said else ""
    if isinstance(info, msgspec.inspect.StrType) and info.pattern:
        return f"Must match {info.pattern}"
    return ""


def _comment(text: str) -> Iterator[str]:
    for line in textwrap.wrap(text.replace("\n", " "), WIDTH - 2) if text else ():
        yield f"# {line}"


def _toml(value: object) -> str:
    """TOML of a default: JSON is TOML for strings, numbers, booleans and flat lists."""
    return json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False)
