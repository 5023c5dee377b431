"""``autoencode decompress``."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import typer

from autoencode.commands.compressing import SUFFIX, SharedModel, copied, naming_file
from autoencode.commands.files import require_writable
from autoencode.commands.options import AsJson, Force, Quiet
from autoencode.commands.picture_folders import require_folder
from autoencode.commands.progress import Progress
from autoencode.errors import DataError
from autoencode.files import replacing

if TYPE_CHECKING:
    from autoencode.compression.model_reference import ModelFile
    from autoencode.compression.reading import Header

__all__ = ["decompress"]


def decompress(
    file: Annotated[
        str, typer.Argument(help="A compressed file; - is standard input.", metavar="FILE")
    ],
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            help="Where to write; FILE without .aez if not given; tables go to "
            ".parquet, .feather or .csv by the suffix; - is standard output.",
            metavar="DATA",
        ),
    ] = None,
    test: Annotated[bool, typer.Option("--test", help="Only check that all is whole.")] = False,
    listing: Annotated[bool, typer.Option("--list", help="Only say what is in it.")] = False,
    recover: Annotated[
        bool, typer.Option("--recover", help="Write the rows of undamaged blocks.")
    ] = False,
    model: SharedModel = None,
    components: Annotated[
        int | None,
        typer.Option(min=1, help="Of a file of codes: decode by so many of the first."),
    ] = None,
    force: Force = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Give back what was compressed; the compressed file stays."""
    if test + listing + recover > 1:
        raise typer.BadParameter("--test, --list and --recover exclude each other")
    given = _opened(model)
    if test or listing:
        _inspect(file, given, listing=listing, quiet=quiet, as_json=as_json)
        return
    read = given, components
    to_stdout = output == "-" or (output is None and file == "-")
    target = Path(output) if output not in (None, "-") else _target(file, to_stdout)
    is_folder = _is_folder(file)
    if is_folder and to_stdout:
        raise DataError(f"{file}: holds a folder, which standard output cannot be")
    if is_folder:
        require_folder(target, force=force)
    elif not to_stdout:
        require_writable(target, force=force)
    with naming_file(file), Progress(quiet=quiet, max_time=None) as progress:
        if to_stdout:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / f"output{target.suffix}"
                _restore(file, path, progress, read, recover=recover, force=force)
                copied(path, sys.stdout.buffer)
        else:
            _restore(file, target, progress, read, recover=recover, force=force)


def _opened(model: Path | None) -> ModelFile | None:
    if model is None:
        return None
    from autoencode.compression.model_reference import open_model

    return open_model(model)


def _is_folder(file: str) -> bool:
    """Whether a file holds a folder; of standard input that is not asked before it is read."""
    if file == "-":
        return False
    from autoencode.compression.container import START_BYTES, read_section, read_start
    from autoencode.compression.folders import KIND
    from autoencode.compression.reading import kind_of

    with naming_file(file), _reading(file) as stream:
        read_start(stream)
        return kind_of(read_section(stream, START_BYTES)) == KIND


def _target(file: str, to_stdout: bool) -> Path:
    if file.endswith(SUFFIX) or to_stdout:
        return Path(file.removesuffix(SUFFIX))
    raise typer.BadParameter(f"{file} does not end in {SUFFIX}; say where to write with -o")


@contextlib.contextmanager
def _reading(file: str) -> Iterator[BinaryIO]:
    if file == "-":
        yield sys.stdin.buffer
        return
    if not os.access(file, os.R_OK) or Path(file).is_dir():
        raise DataError(f"{file}: there is no such file that can be read")
    with Path(file).open("rb") as stream:
        yield stream


def _restore(
    file: str,
    target: Path,
    progress: Progress,
    read: tuple[ModelFile | None, int | None],
    *,
    recover: bool,
    force: bool,
) -> None:
    from autoencode.compression.in_order import checked_threads
    from autoencode.compression.restoring import write_blocks, write_restored

    if not recover:
        with _reading(file) as stream:
            write_restored(
                stream,
                target,
                lambda block: progress.say(f"row {block.first + len(block.rows):,}"),
                checked_threads("auto"),
                *read,
                force=force,
            )
        return
    if file == "-":
        raise typer.BadParameter("--recover needs a file, not standard input")
    from autoencode.compression import folders
    from autoencode.compression.codes import KIND, restored
    from autoencode.compression.members import TEXT
    from autoencode.compression.recovery import lost_rows, recover_blocks

    header, blocks = recover_blocks(file, read[0])
    if not blocks:
        raise DataError(f"{file}: nothing can be recovered: no block is whole")
    lost = lost_rows(header, blocks)
    if header.made_from.get("kind") == KIND:
        header, blocks = restored(header, blocks, read[1])
    if header.made_from.get("kind") == folders.KIND:
        for name in folders.write_folder(header, iter(blocks), target, force=force, partly=True):
            sys.stderr.write(f"autoencode: {file}: {name} is lost\n")
        return
    with replacing(target) as temporary:
        write_blocks(header, iter(blocks), temporary)
    for name, first, last in lost:
        of = f" of {name}" if name else ""
        unit = "bytes" if header.made_from.get("kind") == TEXT else "rows"
        sys.stderr.write(f"autoencode: {file}: {unit} {first:,} to {last:,}{of} are lost\n")


def _inspect(
    file: str, model: ModelFile | None, *, listing: bool, quiet: bool, as_json: bool
) -> None:
    from autoencode.compression.files import verify

    with naming_file(file), _reading(file) as stream:
        if listing:
            facts = _facts(stream, model)
        else:
            header, n_blocks = verify(stream, model=model)
            facts = {"blocks": n_blocks, **_content(header)}
    if as_json:
        sys.stdout.write(json.dumps(facts) + "\n")
    elif listing:
        for name, value in facts.items():
            sys.stdout.write(f"{name}: {value}\n")
    elif not quiet:
        sys.stderr.write(f"autoencode: {file}: whole, {facts['blocks']} blocks\n")


def _facts(stream: BinaryIO, model: ModelFile | None) -> dict[str, Any]:
    """Read the header only."""
    from autoencode.compression.container import read_sections, read_start
    from autoencode.compression.model_reference import finder
    from autoencode.compression.reading import parse_header

    read_start(stream)
    sections = read_sections(stream)
    return _content(parse_header(next(sections), finder(lambda: next(sections), model)))


def _content(header: Header) -> dict[str, Any]:
    from autoencode.compression.members import TableMember

    facts: dict[str, Any] = {"made from": header.made_from.get("kind")}
    if header.note is not None:
        held = ", which is in it" if header.note.embedded else ""
        facts["model"] = f"{header.note.name} (SHA-256 {header.note.sha256}){held}"
    if "distortion" in header.made_from:
        facts["distortion"] = header.made_from["distortion"]
    for member in header.members:
        name = member.name or "content"
        if isinstance(member, TableMember):
            facts[name] = f"table of {member.n_rows:,} rows and {member.n_columns:,} columns"
        else:
            facts[name] = f"array of shape {list(member.shape)} and type {member.dtype}"
        bounds = sorted({error for error in member.errors if error})
        if bounds:
            exact = " (some columns: 0)" if 0 in member.errors else ""
            facts[f"largest error of {name}"] = f"{bounds[0]:g} to {bounds[-1]:g}{exact}"
        else:
            facts[f"largest error of {name}"] = "0: without loss"
    return facts
