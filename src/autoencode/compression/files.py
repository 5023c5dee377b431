"""Compress, decompress and open: what users call."""

from __future__ import annotations

import io
import os
from dataclasses import replace
from typing import Any, BinaryIO, Literal

from autoencode.compression.bounds import Allowed, checked_allowance
from autoencode.compression.codes import codes_of
from autoencode.compression.effort import Effort, effort_named
from autoencode.compression.folders import KIND, folder_content, open_any
from autoencode.compression.in_order import checked_threads
from autoencode.compression.model_reference import ModelFile, open_model
from autoencode.compression.model_use import by_shared, learned
from autoencode.compression.random_access import CompressedFile
from autoencode.compression.reading import Header, gathered, stream_blocks
from autoencode.compression.restoring import open_blocks, restore_text
from autoencode.compression.sources import Source, packed_text
from autoencode.compression.writing import Progress, WrittenModel, write_members
from autoencode.data.frames import to_frame
from autoencode.errors import DataError, SpecError
from autoencode.files import replacing

__all__ = [
    "check_models",
    "compress",
    "decompress",
    "modelled",
    "open_compressed",
    "verify",
    "write_compressed",
]


def compress(
    data: Any,
    path: str | os.PathLike[str],
    *,
    error: Allowed = None,
    relative: Allowed = None,
    effort: str = "default",
    n_threads: int | str = "auto",
    model: str | os.PathLike[str] | Literal[False] | None = None,
    save_model: str | os.PathLike[str] | None = None,
    embed: bool = False,
    codes: bool = False,
    exact: bool = False,
) -> int:
    """Compress an array, a table or a file of them into a file.

    Parameters
    ----------
    data : ndarray, mapping of str to ndarray, frame, table or path
        Arrays of any shape and any type but Python objects; pandas, polars and Arrow
        tables; paths to .npy, .npz, .parquet, .feather, .arrow, .csv, .tsv and .txt files,
        and to folders, of which pictures keep names, modes and pixels, other files all.
    path : path
        The file to write; one that exists is replaced.
    error : float or mapping of str to float, optional
        The largest absolute error, in the data's units, for all numbers or by column. If
        neither this nor ``relative`` is given, every bit comes back.
    relative : float or mapping of str to float, optional
        The same as a share of each column's range (of a matrix or table), or of the range
        of the whole array (of any other shape).
    effort : {"default", "fast", "best"}
        How much is tried for a smaller file.
    n_threads : int or "auto"
        How many blocks are coded at once; the bytes are the same. "auto": one for each
        processor.
    model : path or False, optional
        A shared model by which to code: its columns and bounds are those of the data, and it
        is needed to decompress. False: no network is trained.
    save_model : path, optional
        Where to write a shared model that is learned from the data (from the first four
        million values, if there are more); the compressed file holds it, too.
    embed : bool
        Put the model into the file, which can then be read by itself.
    codes : bool
        Store only the codes of a fitted autoencoder, which ``model`` is the file of: the data
        come back as it reconstructs them. How far off that is stands in the header.
    exact : bool
        Of a folder: keep the bytes of picture files, not only their pixels.

    Returns
    -------
    int
        The bytes written. The file was read again and compared before it got its name.

    Raises
    ------
    DataError
        If the data cannot be compressed, or the file not be written, or the model is one of
        other data.
    SpecError
        If a bound, the effort or a number of threads is not one, or options exclude each
        other.
    """
    checked_allowance(error, relative)
    tried = effort_named(effort)
    count = checked_threads(n_threads)
    bounded = (error or relative) is not None
    check_models(model, save_model, embed=embed, codes=codes, bounded=bounded)
    source = open_any(data, error, relative, as_table=codes, exact=exact)
    source, tried, used = modelled(source, tried, model, save_model, embed=embed, codes=codes)
    with replacing(path) as temporary:
        with temporary.open("wb") as stream:
            size = write_compressed(source, stream, tried, n_threads=count, model=used)
        with temporary.open("rb") as stream:
            verify(stream, count, None if used is None else used.file)
    return size


def check_models(
    model: str | os.PathLike[str] | Literal[False] | None,
    save_model: str | os.PathLike[str] | None,
    *,
    embed: bool,
    codes: bool,
    bounded: bool,
) -> None:
    """Refuse options about models that exclude each other.

    Raises
    ------
    SpecError
        Naming them.
    """
    given = model is not None and model is not False
    if given and save_model is not None:
        raise SpecError("model and save_model exclude each other: a model is used or learned")
    if given and bounded:
        raise SpecError("a shared model has its own bounds; leave out error and relative")
    if embed and not given:
        raise SpecError("embed puts a model into the file; say which with model")
    if codes and not given:
        raise SpecError("codes are those of a fitted autoencoder; say of which with model")


def modelled(
    source: Source,
    effort: Effort,
    model: str | os.PathLike[str] | Literal[False] | None,
    save_model: str | os.PathLike[str] | None,
    *,
    embed: bool,
    codes: bool,
) -> tuple[Source, Effort, WrittenModel | None]:
    """Return data, effort and model as they are written; options as in `compress`."""
    alone = replace(effort, training_steps=0)
    if save_model is not None:
        source, found = learned(source, save_model, alone if model is False else effort)
        embed = True
    elif model is None or model is False:
        return source, effort if model is None else alone, None
    else:
        found = open_model(model)
        if codes:
            source, used = codes_of(source, found, embed=embed)
            return source, effort, used
    source, used = by_shared(source, found, embed=embed)
    return source, alone, used


def write_compressed(
    source: Source,
    stream: BinaryIO,
    effort: Effort,
    progress: Progress | None = None,
    n_threads: int = 1,
    model: WrittenModel | None = None,
) -> int:
    """Write a source to a stream; return the bytes written.

    Parameters
    ----------
    source : Source
        What `open_source` returned.
    stream : binary file
        Need not seek. Text is coded in two ways in memory, and the smaller one written.
    effort : Effort
        How much to try.
    progress : callable, optional
        Told after each block.
    n_threads : int
        How many blocks are coded at once.
    model : WrittenModel, optional
        By which they are coded.
    """

    def written(one: Source, to: BinaryIO, by: WrittenModel | None) -> int:
        return write_members(
            to, one.members, one.contents, one.made_from, effort, progress, n_threads, by
        )

    if source.raw is None or "recipe" not in source.made_from:
        return written(source, stream, model)
    offers = [io.BytesIO(), io.BytesIO()]
    written(source, offers[0], model)
    written(packed_text(source.raw), offers[1], None)
    smallest = min(offers, key=lambda buffer: buffer.getbuffer().nbytes)
    return stream.write(smallest.getbuffer())


def verify(
    stream: BinaryIO, n_threads: int = 1, model: ModelFile | None = None
) -> tuple[Header, int]:
    """Decode all of a stream and check it against its hashes.

    Returns
    -------
    tuple
        The header and the number of blocks.

    Raises
    ------
    DataError
        Naming the block that is damaged.
    """
    blocks = stream_blocks(stream, n_threads, model)
    header = next(blocks)
    assert isinstance(header, Header)
    return header, sum(1 for _ in blocks)


def decompress(
    path: str | os.PathLike[str],
    *,
    model: str | os.PathLike[str] | None = None,
    components: int | None = None,
    n_threads: int | str = "auto",
) -> Any:
    """Return what a file that `compress` wrote holds.

    Parameters
    ----------
    path : path
        The file.
    model : path, optional
        The model that the file refers to, if it does and does not hold it.
    components : int, optional
        Of a file of codes: how many of the first components to decode by.
    n_threads : int or "auto"
        How many blocks are decoded at once. "auto": one for each processor.

    Returns
    -------
    ndarray, dict of str to ndarray, frame, table or bytes
        An array for an array; a dictionary for several, and for a folder (of pixels and
        bytes); a pandas or polars frame for one;
        an Arrow table for any other table; for a file of text its bytes, if it was
        compressed without loss.

    Raises
    ------
    DataError
        Naming the block, if the file is damaged; or the model that it needs.
    SpecError
        If it is no number of threads.
    """
    count = checked_threads(n_threads)
    if components is not None and (not isinstance(components, int) or components < 1):
        raise SpecError(f"components is {components!r}; give a whole number from 1")
    given = None if model is None else open_model(model)
    try:
        with open(path, "rb") as stream:
            header, blocks = open_blocks(stream, count, given, components)
            if header.made_from.get("kind") == KIND:
                return folder_content(header, blocks)
            found = gathered(header, blocks)
    except DataError as error:
        raise DataError(f"{os.fspath(path)}: {error}") from error
    except OSError as error:
        raise DataError(f"{os.fspath(path)}: {error.strerror or error}") from error
    kind = header.made_from.get("kind")
    if kind in ("npz", "arrays"):
        names = [member.name for member in header.members]
        return dict(zip(names, found, strict=True))
    if kind == "text":
        return b"".join(restore_text(header, iter(found)))
    if kind == "pandas":
        return found[0].to_pandas()
    if kind == "polars":
        return to_frame(found[0], "polars")
    return found[0]


def open_compressed(
    path: str | os.PathLike[str], *, model: str | os.PathLike[str] | None = None
) -> CompressedFile:
    """Open a compressed file to read some of its rows or columns.

    Parameters
    ----------
    path : path
        The file.
    model : path, optional
        The model that it refers to.

    Returns
    -------
    CompressedFile
        Its ``read(start, stop, columns=...)`` decodes only the blocks that hold these rows.

    Raises
    ------
    DataError
        If it is not such a file, or damaged at its beginning or end.
    """
    return CompressedFile(path, model)
