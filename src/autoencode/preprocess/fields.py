"""Nullability and metadata of a table's columns, as plain JSON values and back."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

__all__ = ["fields_from_json", "fields_to_json", "without_stale_metadata"]


def without_stale_metadata(fields: pa.Schema) -> pa.Schema:
    """Return fields without metadata of pandas that name columns which are not there.

    pandas would look for an index among them when it reads the table.
    """
    metadata = dict(fields.metadata or {})
    try:
        entry = json.loads(metadata.get(b"pandas", b"{}"))
        index = [name for name in entry.get("index_columns", []) if isinstance(name, str)]
        named = [column.get("field_name") for column in entry.get("columns", [])]
        stale = not {*index, *named} <= {*fields.names, None}
    except (AttributeError, TypeError, ValueError):
        stale = True
    if stale:
        del metadata[b"pandas"]
    return fields.with_metadata(metadata or None)


def fields_to_json(fields: pa.Schema) -> dict[str, Any]:
    """Return what a schema tells beside names and types.

    Metadata that are not UTF-8 are left out.
    """
    return {
        "nullable": [field.nullable for field in fields],
        "field_metadata": [_texts(field.metadata) for field in fields],
        "metadata": _texts(fields.metadata),
    }


def fields_from_json(
    plain: Mapping[str, Any], names: Sequence[str], types: Sequence[pa.DataType]
) -> pa.Schema:
    """Return the schema that `fields_to_json` was given.

    Raises
    ------
    KeyError, TypeError, ValueError
        If the values are others than it returns.
    """
    further = plain["nullable"], plain["field_metadata"]
    fields = [pa.field(*parts) for parts in zip(names, types, *further, strict=True)]
    return pa.schema(fields, plain["metadata"])


def _texts(metadata: Mapping[bytes, bytes] | None) -> dict[str, str] | None:
    if metadata is None:
        return None
    found = {}
    for key, value in metadata.items():
        try:
            found[key.decode()] = value.decode()
        except UnicodeDecodeError:
            continue
    return found
