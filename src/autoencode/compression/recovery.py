"""What can still be read of a damaged file."""

from __future__ import annotations

import io
import os
import re
from pathlib import Path

from autoencode.compression.container import START_BYTES, read_section, read_start
from autoencode.compression.model_reference import ModelFile, finder
from autoencode.compression.reading import Block, Header, decode_block, parse_header
from autoencode.errors import DataError

__all__ = ["lost_rows", "recover_blocks"]


def recover_blocks(
    path: str | os.PathLike[str], model: ModelFile | None = None
) -> tuple[Header, list[Block]]:
    """Return the header and every block that is whole, in the order of rows.

    Parameters
    ----------
    path : path
        A file of which some blocks may be damaged, moved or missing.
    model : ModelFile, optional
        What the header may refer to.

    Raises
    ------
    DataError
        If the header is damaged: without it blocks mean nothing.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"{os.fspath(path)}: {error.strerror or error}") from error
    stream = io.BytesIO(data)
    try:
        read_start(stream)
        first = read_section(stream, START_BYTES)
        following = finder(lambda: read_section(stream, stream.tell()), model)
        header = parse_header(first, following)
    except DataError as error:
        raise DataError(f"{os.fspath(path)}: nothing can be recovered: {error}") from error
    found: dict[tuple[int, int], Block] = {}
    for match in re.finditer(b"BLCK", data):
        stream.seek(match.start())
        try:
            section = read_section(stream, match.start())
            block = decode_block(section, header, len(found))
        except DataError:
            continue
        found.setdefault((block.member, block.first), block)
    return header, [found[key] for key in sorted(found)]


def lost_rows(header: Header, blocks: list[Block]) -> list[tuple[str, int, int]]:
    """Return which rows no block holds: the member's name, the first and the last of them."""
    lost = []
    for place, member in enumerate(header.members):
        reached = 0
        for block in blocks:
            if block.member == place:
                if block.first > reached:
                    lost.append((member.name, reached, block.first - 1))
                reached = max(reached, block.first + len(block.rows))
        if reached < member.n_rows:
            lost.append((member.name, reached, member.n_rows - 1))
    return lost
