"""JSON as the standard has it, both ways: what is written comes back the same."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, NoReturn

import numpy as np

from autoencode.errors import SpecError

__all__ = ["read_json", "write_json"]

_MAX_NESTING = 64


def write_json(value: Any, where: str) -> str:
    """Return a value as canonical JSON: sorted keys, no spaces, ASCII.

    Parameters
    ----------
    value : object
        Text, finite numbers, booleans, None, lists and mappings with text keys,
        nested as needed. NumPy scalars become plain numbers and tuples lists.
    where : str
        What the value is called in an error message.

    Returns
    -------
    str
        The same text for the same content, whatever the order of the keys.

    Raises
    ------
    SpecError
        If the value holds anything else; the message says where.
    """
    plain = _plain(value, where, 0)
    try:
        return json.dumps(plain, sort_keys=True, allow_nan=False, separators=(",", ":"))
    except ValueError as error:  # an integer of more digits than Python reads back
        raise SpecError(f"{where} cannot be written as JSON: {error}") from error


def read_json(text: str) -> Any:
    """Parse JSON and refuse what the standard leaves open.

    Parameters
    ----------
    text : str
        The JSON text.

    Returns
    -------
    object
        Text, finite numbers, booleans, None, lists and dictionaries.

    Raises
    ------
    ValueError
        If the text is not JSON, is nested too deeply, repeats a key, or has a
        number that is not finite.
    """
    try:
        return json.loads(
            text,
            object_pairs_hook=_unique_keys,
            parse_constant=_refuse_constant,
            parse_float=_finite_float,
        )
    except RecursionError as error:
        raise ValueError("the JSON text is nested too deeply") from error


def _plain(value: Any, where: str, depth: int) -> Any:
    """Return a value as plain JSON types, or say which part of it has no such form."""
    if depth > _MAX_NESTING:
        raise SpecError(f"{where[:80]} is nested more than {_MAX_NESTING} levels deep")
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, np.bool_):
        return bool(value)
    if isinstance(value, str):
        return str(value)
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        if not math.isfinite(value):
            raise SpecError(f"{where} is {float(value)}; only finite numbers can be stored")
        return float(value)
    if isinstance(value, list | tuple):
        return [_plain(item, f"{where}[{i}]", depth + 1) for i, item in enumerate(value)]
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise SpecError(f"{where} has the key {key!r}; only text can be a key")
        return {str(key): _plain(value[key], f"{where}[{key!r}]", depth + 1) for key in value}
    raise SpecError(
        f"{where} is a {type(value).__name__}; allowed are text, finite numbers, booleans, "
        "None, lists and mappings"
    )


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping = dict(pairs)
    if len(mapping) != len(pairs):
        raise ValueError("a key is repeated")
    return mapping


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a JSON number")


def _finite_float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is out of range")
    return number
