"""The careful reading of one native record: slower than `native`, and it says exactly what is wrong.

It takes everything the format allows, so that a record the fast reading refuses is either read here or
named as bad with one reason, the field and the position.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

from connectors.formats.fields import (
    MAX_CLASSES,
    BadRecord,
    check_not_future,
    numbers_from_base64,
    seconds_from_number,
    seconds_from_text,
    shorten,
    show,
)
from detector.query import FloatArray, Record

BYTE_ORDER_MARK = b"\xef\xbb\xbf"

# Possessive, with an optional closing quote: linear time on any bytes.
_STRINGS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_TO_SQUARE = bytes.maketrans(b"{}", b"[]")
_OTHERS = bytes(byte for byte in range(256) if byte not in b"[]{}")
_MAX_DIGITS = 300


def too_deep(raw: bytes, nesting: int) -> bool:
    """Whether a JSON text nests lists and objects deeper than `nesting` levels, without parsing it.

    Takes away the innermost pairs of brackets, level by level. Of a text that is no JSON, brackets left
    open count as levels.
    """
    if _opening_brackets(raw, nesting + 1) <= nesting:
        return False
    brackets = _STRINGS.sub(b"", raw).translate(_TO_SQUARE, _OTHERS)
    for level in range(nesting + 1):
        outer = brackets.replace(b"[]", b"")
        if len(outer) == len(brackets):
            return level + outer.count(b"[") > nesting
        brackets = outer
    return True


def _opening_brackets(raw: bytes, most: int) -> int:
    """How many brackets open in a text, counted up to `most`."""
    count = 0
    for bracket in (b"[", b"{"):
        position = raw.find(bracket)
        while position >= 0:
            count += 1
            if count == most:
                return count
            position = raw.find(bracket, position + 1)
    return count


def read_record(raw: bytes, offset: int, latest: float, nesting: int, input_length: int) -> Record:
    """One native record. Raises BadRecord with the reason and the field."""
    document = _document(raw, nesting)
    timestamp = _timestamp(document)
    check_not_future(timestamp, latest)
    return Record(
        timestamp=timestamp,
        model_id=_required_id(document, "model_id"),
        client_id=_required_id(document, "client_id"),
        input=_input(document, input_length),
        session_id=_optional_id(document, "session_id"),
        request_id=_optional_id(document, "request_id"),
        source_ip=_optional_id(document, "source_ip"),
        user_agent=_optional_id(document, "user_agent"),
        tenant_id=_optional_id(document, "tenant_id"),
        probabilities=_probabilities(document),
        confidence=_confidence(document),
        label=_label(document),
        offset=offset,
        raw=raw,
    )


def _document(raw: bytes, nesting: int) -> dict[str, Any]:
    if too_deep(raw, nesting):
        raise BadRecord("too_deep", f"nested deeper than {nesting} levels (limits.nesting)")
    try:
        document = json.loads(raw.removeprefix(BYTE_ORDER_MARK).decode("utf-8"), parse_int=_integer)
    except UnicodeDecodeError as error:
        raise BadRecord("not_json", f"byte {error.start}: not UTF-8") from None
    except json.JSONDecodeError as error:
        raise BadRecord("not_json", f"character {error.pos}: {error.msg}") from None
    except RecursionError:
        raise BadRecord("too_deep", "nested deeper than the parser can follow") from None
    if not isinstance(document, dict):
        raise BadRecord("not_an_object", f"expected an object, got {show(document)}")
    return document


def _integer(digits: str) -> int | float:
    # Python refuses to convert very long integers; as a float they are what they mean: infinite.
    return int(digits) if len(digits) <= _MAX_DIGITS else float(digits)


def _present(document: dict[str, Any], name: str) -> Any:
    value = document.get(name)
    if value is None:
        raise BadRecord("missing_field", f"{name}: is {'null' if name in document else 'absent'}")
    return value


def _timestamp(document: dict[str, Any]) -> float:
    value = _present(document, "timestamp")
    if isinstance(value, str):
        return seconds_from_text(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadRecord("wrong_type", f"timestamp: expected a number or a string, got {show(value)}")
    return seconds_from_number(float(value))


def _required_id(document: dict[str, Any], name: str) -> str:
    _present(document, name)
    text = _optional_id(document, name)
    if not text:
        raise BadRecord("missing_field", f"{name}: is empty")
    return text


def _optional_id(document: dict[str, Any], name: str) -> str:
    value = document.get(name)
    if value is None:
        return ""
    if isinstance(value, str):
        return shorten(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise BadRecord("wrong_type", f"{name}: expected a string, got {show(value)}")


def _input(document: dict[str, Any], input_length: int) -> list[float] | FloatArray | str:
    value = _present(document, "input")
    if isinstance(value, str):
        if not value:
            raise BadRecord("input_empty", "input: is an empty string")
        return (
            value if value.isascii() else value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        )
    if isinstance(value, list):
        numbers: list[float] = []
        _flatten(value, "input", numbers)
        if not numbers:
            raise BadRecord("input_empty", "input: the list holds no numbers")
        if len(numbers) > input_length:
            raise BadRecord(
                "input_too_long", f"input: {len(numbers)} numbers, limits.input_length is {input_length}"
            )
        return numbers
    if isinstance(value, dict):
        return _encoded(value, input_length)
    raise BadRecord(
        "wrong_type", f"input: expected a list, a string or an object with b64, got {show(value)}"
    )


def _flatten(values: list[Any], path: str, numbers: list[float]) -> None:
    """Append the numbers of a list of any nesting, in order."""
    for position, value in enumerate(values):
        if isinstance(value, list):
            _flatten(value, f"{path}[{position}]", numbers)
            continue
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise BadRecord("wrong_type", f"{path}[{position}]: expected a number, got {show(value)}")
        number = float(value)
        if not math.isfinite(number):
            raise BadRecord("input_not_finite", f"{path}[{position}]: is {number!r}")
        numbers.append(number)


def _encoded(value: dict[str, Any], input_length: int) -> FloatArray:
    text, dtype, shape = value.get("b64"), value.get("dtype"), value.get("shape")
    if text is None:
        raise BadRecord("missing_field", "input.b64: is absent")
    if not isinstance(text, str):
        raise BadRecord("wrong_type", f"input.b64: expected a string, got {show(text)}")
    if dtype is not None and not isinstance(dtype, str):
        raise BadRecord("wrong_type", f"input.dtype: expected a string, got {show(dtype)}")
    if shape is not None and (
        not isinstance(shape, list) or any(isinstance(s, bool) or not isinstance(s, int) for s in shape)
    ):
        raise BadRecord("wrong_type", "input.shape: expected a list of integers")
    return numbers_from_base64(text, "float32" if dtype is None else dtype, shape, input_length)


def _probabilities(document: dict[str, Any]) -> list[float] | None:
    values = document.get("probabilities")
    if values is None:
        return None
    if not isinstance(values, list):
        raise BadRecord("wrong_type", f"probabilities: expected a list of numbers, got {show(values)}")
    if len(values) > MAX_CLASSES:
        raise BadRecord(
            "bad_probability", f"probabilities: {len(values)} numbers, at most {MAX_CLASSES} are read"
        )
    return [_probability(value, f"probabilities[{i}]") for i, value in enumerate(values)] or None


def _confidence(document: dict[str, Any]) -> float | None:
    value = document.get("confidence")
    return None if value is None else _probability(value, "confidence")


def _probability(value: Any, path: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadRecord("wrong_type", f"{path}: expected a number, got {show(value)}")
    number = float(value)
    if not math.isfinite(number):
        raise BadRecord("bad_probability", f"{path}: is {number!r}")
    return number


def _label(document: dict[str, Any]) -> int | str | None:
    value = document.get("label")
    if value is None or value == "":
        return None
    if isinstance(value, str):
        return shorten(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadRecord("wrong_type", f"label: expected an integer or a string, got {show(value)}")
    if isinstance(value, float) and not value.is_integer():
        raise BadRecord("wrong_type", f"label: expected an integer or a string, got {show(value)}")
    if not -(2**63) <= value < 2**63:
        raise BadRecord("wrong_type", f"label: {show(value)} does not fit into 64 bits")
    return int(value)
