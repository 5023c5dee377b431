"""From ``"name:key=value,key=value"`` to a part."""

from __future__ import annotations

import ast
import difflib
import functools
import importlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from autoencode.errors import SpecError

__all__ = ["Spec", "describe", "make", "module_of", "parse", "shown", "with_option"]

Spec = str | Callable[..., Any]


def parse(spec: str) -> tuple[str, dict[str, Any]]:
    """Split a spec into its name and its options.

    Parameters
    ----------
    spec : str
        ``"name"``, ``"name:key=value,key=value"`` or
        ``"package.module:Class:key=value"``; values are Python literals.

    Returns
    -------
    tuple of (str, dict)
        The name (``"package.module:Class"`` for a part from outside) and the options.

    Raises
    ------
    SpecError
        If an option is not ``key=value`` with a literal value.
    """
    pieces = spec.split(":")
    outside = len(pieces) > 1 and "." in pieces[0] and "=" not in pieces[1]
    name = ":".join(pieces[:2]) if outside else pieces[0]
    tail = ":".join(pieces[2:] if outside else pieces[1:])
    return name, dict(_option(spec, text) for text in _split_options(tail))


def _split_options(tail: str) -> list[str]:
    """Split at the commas that are outside brackets."""
    parts: list[str] = []
    depth, start = 0, 0
    for place, letter in enumerate(tail):
        depth += (letter in "([{") - (letter in ")]}")
        if letter == "," and depth == 0:
            parts.append(tail[start:place])
            start = place + 1
    parts.append(tail[start:])
    return [part.strip() for part in parts if part.strip()]


def _option(spec: str, text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals:
        raise SpecError(f"{spec!r}: {text!r} should read key=value")
    try:
        return key.strip(), ast.literal_eval(value.strip())
    except (ValueError, SyntaxError):
        if value.strip().isidentifier():
            return key.strip(), value.strip()
        raise SpecError(f"{spec!r}: the value of {key.strip()!r} is not a plain value") from None


def with_option(spec: str, key: str, value: Any) -> str:
    """Return a spec with another value of one option.

    Raises
    ------
    SpecError
        As `parse`.
    """
    name, options = parse(spec)
    options[key] = value
    return f"{name}:" + ",".join(f"{k}={v!r}" for k, v in options.items())


def module_of(spec: str) -> str | None:
    """Return the module that a spec would import, or None for a built-in name."""
    name, _ = parse(spec)
    return name.partition(":")[0] if ":" in name else None


def describe(spec: Spec) -> str:
    """Return the text under which a part can be found again.

    Raises
    ------
    SpecError
        If a callable has no importable name (a lambda, a local function).
    """
    if isinstance(spec, str):
        return spec
    name = f"{spec.__module__}:{spec.__qualname__}" if hasattr(spec, "__qualname__") else ""
    if not name or "<" in name or "." in name.partition(":")[2] or name.startswith("__main__"):
        raise SpecError(
            f"{spec!r} has no importable name; define it at the top of a module and "
            "name it as 'my_package.module:name'"
        )
    return name


def shown(spec: Spec) -> str:
    """Return a text for people, also of what cannot be found again."""
    return spec if isinstance(spec, str) else getattr(spec, "__qualname__", "own modules")


def make(
    axis: str, parts: Mapping[str, Callable[..., Any]], spec: Spec, *sizes: Any, **more: Any
) -> Any:
    """Build the part that a spec names.

    Parameters
    ----------
    axis : str
        Which axis, for messages: ``"bottleneck"``.
    parts : mapping
        The axis's dictionary from name to part.
    spec : str or callable
        What to build; see `parse`. A callable is called with ``sizes``.
    *sizes, **more : object
        What the part is told before its options, in order or by name.

    Returns
    -------
    object
        The part.

    Raises
    ------
    SpecError
        If the name, an option or its value is not allowed.
    """
    if not isinstance(spec, str):
        if not callable(spec):
            raise SpecError(f"{axis}={spec!r} is neither a name nor callable; {_allowed(parts)}")
        return spec(*sizes, **more)
    name, options = parse(spec)
    outside = ":" in name
    part = _from_outside(axis, name) if outside else parts.get(name)
    if part is None:
        close = difflib.get_close_matches(name, parts, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise SpecError(f"{axis}={name!r} is not known; {_allowed(parts)}{hint}")
    try:
        signature = inspect.signature(part) if outside else _signature(part)
        signature.bind(*sizes, **more, **options)
    except TypeError as error:
        raise SpecError(f"{axis}={spec!r}: {error}") from None
    try:
        return part(*sizes, **more, **options)
    except TypeError as error:
        raise SpecError(f"{axis}={spec!r}: an option has the wrong type: {error}") from None


@functools.cache
def _signature(part: Callable[..., Any]) -> inspect.Signature:
    # Of our own parts, of which a fit makes hundreds.
    return inspect.signature(part)


def _allowed(parts: Mapping[str, Any]) -> str:
    return "choose from " + ", ".join(sorted(parts))


def _from_outside(axis: str, name: str) -> Callable[..., Any]:
    module, _, attribute = name.partition(":")
    try:
        part = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise SpecError(f"{axis}={name!r} cannot be imported: {error}") from None
    if not callable(part):
        raise SpecError(f"{axis}={name!r} is not callable")
    return part  # type: ignore[no-any-return]
