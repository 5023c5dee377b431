"""Data, and the model by which they are to be coded."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

from autoencode.compression.effort import Effort
from autoencode.compression.members import Member
from autoencode.compression.model_reference import COLUMNS, ModelFile
from autoencode.compression.shared_model import learn_shared
from autoencode.compression.sources import Source
from autoencode.compression.writing import WrittenModel
from autoencode.errors import DataError
from autoencode.files import replacing

__all__ = ["by_shared", "learned"]


def by_shared(source: Source, model: ModelFile, *, embed: bool) -> tuple[Source, WrittenModel]:
    """Return data with the bounds of a shared model, and that model.

    Raises
    ------
    DataError
        If the data are not of the model's kind: the message says where they differ.
    """
    shared = model.columns
    reasons = [shared.unlike(member) for member in source.members]
    if not reasons or all(reasons):
        why = reasons[0] if reasons else "there is nothing in it"
        raise DataError(f"cannot be coded by {model.name}: {why}")
    members: list[Member] = [
        member if reason else replace(member, errors=shared.errors)
        for member, reason in zip(source.members, reasons, strict=True)
    ]
    note = model.note(COLUMNS, embedded=embed)
    return replace(source, members=members), WrittenModel(model, note)


def learned(
    source: Source, path: str | os.PathLike[str], effort: Effort
) -> tuple[Source, ModelFile]:
    """Learn a shared model from the first block of the first member, and write it.

    Returns
    -------
    tuple
        The data, which can be read once more, and the model.

    Raises
    ------
    DataError
        If there is nothing to learn, or the file cannot be written.
    """
    blocks: Iterator[tuple[int, Any]] = iter(source.contents[0] if source.contents else ())
    first = next(blocks, None)
    if first is None:
        raise DataError("there are no rows from which a shared model could be learned")
    model = learn_shared(source.members[0], first[1], effort)
    content = model.to_bytes()
    with replacing(path) as temporary:
        temporary.write_bytes(content)
    contents = [chain([first], blocks), *source.contents[1:]]
    return replace(source, contents=contents), ModelFile(Path(path).name, content)
