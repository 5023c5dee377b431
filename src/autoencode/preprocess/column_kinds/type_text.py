"""Arrow types as plain JSON values, and back, without pickle."""

from __future__ import annotations

import base64
import binascii
from typing import Any

import pyarrow as pa

from autoencode.errors import ModelFileError

__all__ = ["type_from_json", "type_to_json"]


def type_to_json(arrow_type: pa.DataType) -> Any:
    """Return a type's name, or Arrow's own message for types that a name does not tell.

    Parameters
    ----------
    arrow_type : pyarrow.DataType
        Any type.

    Returns
    -------
    str or dict
        ``"int64"``, or ``{"name": ..., "arrow": ...}`` with an Arrow IPC schema of one
        field in base64, as Parquet files have it.
    """
    name = str(arrow_type)
    try:
        if pa.type_for_alias(name) == arrow_type:
            return name
    except ValueError:
        pass
    message = pa.schema([pa.field("", arrow_type)]).serialize().to_pybytes()
    return {"name": name, "arrow": base64.b64encode(message).decode("ascii")}


def type_from_json(value: Any) -> pa.DataType:
    """Return the type that `type_to_json` wrote.

    Raises
    ------
    ModelFileError
        If the value is something else.
    """
    try:
        if isinstance(value, str):
            return pa.type_for_alias(value)
        message = base64.b64decode(value["arrow"], validate=True)
        return pa.ipc.read_schema(pa.py_buffer(message)).field(0).type
    except (pa.ArrowException, binascii.Error, KeyError, TypeError, ValueError, OSError) as error:
        raise ModelFileError(f"{str(value)[:80]!r} is not the type of a column") from error
