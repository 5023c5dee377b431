"""Codes of a fitted autoencoder as a compressed form of its data."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from autoencode.compression.code_steps import chosen_steps, distortion, selected
from autoencode.compression.members import (
    ArrayMember,
    Member,
    TableMember,
    blocks_of,
    member_from_json,
)
from autoencode.compression.model_reference import NETWORK, ModelFile, missing
from autoencode.compression.plans import require
from autoencode.compression.reading import Block, Header, joined
from autoencode.compression.sources import Source
from autoencode.compression.writing import WrittenModel
from autoencode.errors import AutoencodeError, DataError

__all__ = ["KIND", "codes_of", "restored"]

KIND = "codes"
_MOST_COMPONENTS = 1 << 16
_LARGEST_CODE = 1 << 52

FloatArray = npt.NDArray[np.float64]


def codes_of(source: Source, model: ModelFile, *, embed: bool) -> tuple[Source, WrittenModel]:
    """Return the codes of data in place of them.

    Parameters
    ----------
    source : Source
        One table or one array.
    model : ModelFile
        A fitted autoencoder.
    embed : bool
        Whether the model goes into the file.

    Raises
    ------
    DataError
        If the data are several arrays, or the model cannot code them.
    """
    if len(source.members) != 1:
        raise DataError("codes are those of one table or one array; compress them one by one")
    member = source.members[0]
    rows = joined(member, [part for _, part in source.contents[0]])
    fitted = _loaded(model)
    codes = fitted.transform(rows)
    if not isinstance(codes, np.ndarray) or codes.ndim != 2:
        raise DataError(f"the codes of {model.name} are not a matrix, and cannot be compressed")
    exact = codes.astype(np.float64)
    known = _reproduced(fitted, rows)
    steps = chosen_steps(fitted, exact, known)
    whole = np.rint(exact / steps)
    if not (np.abs(whole) < _LARGEST_CODE).all():
        raise DataError(f"{model.name} gives these rows codes that are not finite")
    columns, wholes = _measured(fitted, known, whole * steps)
    made_from: dict[str, Any] = {
        "kind": KIND,
        "of": source.made_from,
        "steps": steps.tolist(),
        "distortion": {"columns": columns, "parts": wholes},
    }
    table = isinstance(member, TableMember)
    if not table:
        made_from["array"] = replace(member, errors=(0.0,)).to_json()
    members, contents = _parts(rows, known, whole.astype(np.int64))
    schema = bytes(member.schema.serialize()) if isinstance(member, TableMember) else b""
    note = model.note(NETWORK, embedded=embed)
    found = Source(members, contents, made_from, source.n_bytes)
    return found, WrittenModel(model, note, schema)


def _loaded(model: ModelFile) -> Any:
    from autoencode.loading import load

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        path.write_bytes(model.content)
        try:
            fitted = load(path)
        except AutoencodeError as error:
            reason = str(error).replace(str(path), model.name)
            raise DataError(
                f"{model.name} is no model whose codes could be used: {reason}"
            ) from error
    if not hasattr(fitted, "inverse_transform") or not hasattr(fitted, "transform"):
        raise DataError(f"{model.name} is a {type(fitted).__name__}, which has no codes")
    return fitted


def _reproduced(fitted: Any, rows: Any) -> Any:
    """Return the columns that the model gives back."""
    schema = fitted._state.schema
    if not isinstance(rows, pa.Table):
        return rows
    if schema is None:
        raise DataError("the model was fitted to arrays, and this is a table")
    names = [block.name for block in schema.blocks if block.n_cells]
    return rows.select([name for name in rows.column_names if name in names])


def _groups(n_components: int) -> list[slice]:
    """Return which components stand together: 1, 1, 2, 4, 8 ..."""
    edges = [0, *(1 << at for at in range(n_components.bit_length()))]
    edges = [edge for edge in edges if edge < n_components] + [n_components]
    return [slice(start, stop) for start, stop in pairwise(edges)]


def _measured(fitted: Any, rows: Any, codes: FloatArray) -> tuple[list[float], list[float]]:
    """Return how far off each column is, and the whole with the first groups only."""
    wholes = []
    columns: list[float] = []
    for group in _groups(codes.shape[1]):
        some = np.zeros_like(codes)
        some[:, : group.stop] = codes[:, : group.stop]
        columns, whole = distortion(rows, selected(fitted.inverse_transform(some), rows))
        wholes.append(float(f"{whole:.6g}"))
    return [float(f"{value:.6g}") for value in columns], wholes


def _parts(
    rows: Any, known: Any, codes: npt.NDArray[np.int64]
) -> tuple[list[Member], list[Iterable[tuple[int, Any]]]]:
    """Return columns that are kept as they are, then groups of components."""
    members: list[Member] = []
    contents: list[Iterable[tuple[int, Any]]] = []
    if isinstance(rows, pa.Table):
        others = [name for name in rows.column_names if name not in known.column_names]
        kept = rows.select(others)
        if others:
            members.append(TableMember(kept.schema, len(kept), (0.0,) * len(others), whole=False))
            contents.append(blocks_of(kept, members[-1]))
    for group in _groups(codes.shape[1]):
        part = np.ascontiguousarray(codes[:, group])
        name = f"codes {group.start + 1} to {group.stop}"
        members.append(ArrayMember(name, part.dtype, part.shape, False, (0.0,)))
        contents.append(blocks_of(part, members[-1]))
    return members, contents


def restored(
    header: Header, blocks: Iterable[Block], components: int | None = None
) -> tuple[Header, list[Block]]:
    """Return what was compressed from its codes, as if it had been by itself.

    Parameters
    ----------
    header : Header
        Of a file of codes, with its model.
    blocks : iterable of Block
        Those of the file, in order; codes of groups that are missing count as 0.
    components : int, optional
        How many components to use; blocks beyond are not asked for.

    Returns
    -------
    tuple
        A header with one member, and its only block.

    Raises
    ------
    DataError
        If the model is missing or does not fit, or the header is damaged.
    """
    steps = _steps(header)
    target = _target(header)
    starts, upto = _starts(header), len(steps) if components is None else components
    kept: list[pa.Table] = []
    parts: list[tuple[int, Block]] = []
    for block in blocks:
        start = starts[block.member]
        if start is None:
            kept.append(block.rows)
        elif start < upto:
            parts.append((start, block))
        else:
            break
    if header.model is None:
        assert header.note is not None
        raise DataError(missing(header.note))
    fitted = _loaded(header.model)
    fits = getattr(fitted, "n_components_", None) == len(steps)
    require(fits, f"{header.model.name} has not as many components as it has steps")
    # Rows are believed once they are there.
    n_first = sum(len(block.rows) for start, block in parts if start == 0)
    require(n_first == target.n_rows, "its first component is not whole")
    codes = np.zeros((n_first, len(steps)))
    for start, block in parts:
        stop = min(upto, start + block.rows.shape[1])
        rows = slice(block.first, block.first + len(block.rows))
        codes[rows, start:stop] = block.rows[:, : stop - start]
    try:
        found = fitted.inverse_transform(codes * steps)
    except AutoencodeError as error:
        raise DataError(f"its codes are not those of {header.model.name}: {error}") from error
    whole = _as_it_was(found, target, kept)
    plain = replace(header, members=(target,), made_from=header.made_from["of"])
    return plain, [Block(0, 0, whole, 0)] if n_first else []


def _steps(header: Header) -> FloatArray:
    given: Any = header.made_from.get("steps")
    of = header.made_from.get("of")
    fine = isinstance(given, list) and 0 < len(given) <= _MOST_COMPONENTS and isinstance(of, dict)
    require(fine, "its header says nothing of its codes")
    fine = all(type(step) is float and 0 < step < math.inf for step in given)
    require(fine and header.note is not None, "its header says nothing of its codes")
    return np.array(given)


def _target(header: Header) -> Member:
    described = header.made_from.get("array")
    n_rows = header.members[-1].n_rows if header.members else 0
    if described is None:
        described = {"rows": n_rows}
    target = member_from_json(described, header.schema_bytes)
    require(target.n_rows == n_rows, "its codes are of another number of rows")
    return target


def _starts(header: Header) -> list[int | None]:
    """Return the first component of each member; None for kept columns."""
    found: list[int | None] = []
    start = 0
    for member in header.members:
        require(member.n_rows == header.members[-1].n_rows, "its codes are of other rows")
        if isinstance(member, TableMember):
            found.append(None)
        else:
            fine = member.dtype == np.dtype(np.int64) and len(member.shape) == 2
            require(fine, "its codes are no whole numbers")
            found.append(start)
            start += member.n_columns
    require(start == len(header.made_from["steps"]), "it has not one step per component")
    return found


def _as_it_was(found: Any, target: Member, kept: list[pa.Table]) -> Any:
    """Return decoded rows in the type that was compressed."""
    if isinstance(target, ArrayMember):
        shape = (target.n_rows, *target.shape[1:])
        require(np.size(found) == math.prod(shape), "its model gives rows of another shape")
        values = np.asarray(found).reshape(shape)
        if target.dtype.kind in "iu" and values.dtype.kind == "f":
            limits = np.iinfo(target.dtype)
            values = np.clip(np.rint(values), limits.min, limits.max)
        return values.astype(target.dtype)
    exact = pa.concat_tables(kept) if kept else None
    require(exact is None or len(exact) == target.n_rows, "columns that were kept are not whole")
    columns = []
    for field in target.schema:
        has = exact is not None and field.name in exact.schema.names
        source: Any = exact if has else found
        require(field.name in source.column_names, f"its model has no column {field.name!r}")
        columns.append(source.column(field.name).cast(field.type, safe=False))
    return pa.Table.from_arrays(columns, schema=target.schema)
