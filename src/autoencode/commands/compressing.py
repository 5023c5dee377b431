"""``autoencode compress`` and ``autoencode decompress``."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, TypeAlias

import typer

from autoencode.commands.files import require_writable
from autoencode.commands.options import AsJson, Force, Quiet, parse_bounds
from autoencode.commands.progress import Progress
from autoencode.errors import DataError
from autoencode.files import replacing

if TYPE_CHECKING:
    from autoencode.compression.effort import Effort
    from autoencode.compression.model_reference import ModelFile
    from autoencode.compression.reading import Header
    from autoencode.compression.sources import Source
    from autoencode.compression.writing import WrittenModel

    Ready: TypeAlias = tuple[Source, Effort, WrittenModel | None]

__all__ = ["compress", "decompress"]

SUFFIX = ".aez"
SharedModel = Annotated[
    Path | None,
    typer.Option(
        help="A model that compress --save-model wrote, or with --codes fit.", metavar="MODEL"
    ),
]
_MAGIC = ((b"\x93NUMPY", ".npy"), (b"PK\x03\x04", ".npz"), (b"PAR1", ".parquet"),
          (b"ARROW1", ".feather"))  # fmt: skip
_MEGABYTE = 1e6


def compress(
    data: Annotated[
        str,
        typer.Argument(
            help="A .npy, .npz, .parquet, .feather, .csv, .tsv or .txt file; - is standard input.",
            metavar="DATA",
        ),
    ],
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            help="Where to write; DATA.aez if not given; - is standard output.",
            metavar="FILE",
        ),
    ] = None,
    error: Annotated[
        str | None,
        typer.Option(
            help="The largest absolute error of numbers: 1e-3 for all, or price=0.01,temp=0.1.",
            metavar="BOUND",
        ),
    ] = None,
    relative: Annotated[
        str | None,
        typer.Option(help="The same as a share of each column's range.", metavar="BOUND"),
    ] = None,
    lossless: Annotated[
        bool, typer.Option("--lossless", help="Keep every bit, as without a bound.")
    ] = False,
    fast: Annotated[bool, typer.Option("--fast", help="Try only what is quick.")] = False,
    best: Annotated[bool, typer.Option("--best", help="Try longer for a smaller file.")] = False,
    model: SharedModel = None,
    save_model: Annotated[
        Path | None,
        typer.Option(
            "--save-model",
            help="Write what is learned from DATA here, for many small files of its kind.",
            metavar="MODEL",
        ),
    ] = None,
    embed: Annotated[
        bool, typer.Option("--embed", help="Put the model into the file as well.")
    ] = False,
    codes: Annotated[
        bool,
        typer.Option(
            "--codes", help="Store only the codes of a fitted autoencoder, which --model is."
        ),
    ] = False,
    no_model: Annotated[bool, typer.Option("--no-model", help="Train and use no network.")] = False,
    force: Force = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Make a file smaller: without loss, or within a bound that is kept.

    The input stays. What is written was read again and compared.
    """
    if fast and best:
        raise typer.BadParameter("--fast and --best exclude each other")
    if sum((error is not None, relative is not None, lossless)) > 1:
        raise typer.BadParameter("--error, --relative and --lossless exclude each other")
    bounds = parse_bounds(error, "--error"), parse_bounds(relative, "--relative")
    if no_model and model is not None:
        raise typer.BadParameter("--model and --no-model exclude each other")
    target = Path(f"{data}{SUFFIX}") if output is None else Path(output)
    to_stdout = output == "-" or (output is None and data == "-")
    if not to_stdout:
        require_writable(target, force=force)
    if save_model is not None:
        require_writable(save_model, force=force)
    effort = "fast" if fast else "best" if best else "default"
    from autoencode.compression.effort import effort_named
    from autoencode.compression.files import check_models, modelled
    from autoencode.compression.sources import open_source

    chosen = False if no_model else model
    bounded = error is not None or relative is not None
    check_models(chosen, save_model, embed=embed, codes=codes, bounded=bounded)
    with _as_file(data) as path, Progress(quiet=quiet, max_time=None) as progress:
        progress.say("looking at the data")
        source = open_source(path, *bounds, as_table=codes)
        with _naming(data):
            ready = modelled(
                source, effort_named(effort), chosen, save_model, embed=embed, codes=codes
            )
        if to_stdout:
            with tempfile.TemporaryDirectory() as folder:
                size = _written(ready, Path(folder) / f"x{SUFFIX}", progress)
                _copy(Path(folder) / f"x{SUFFIX}", sys.stdout.buffer)
        else:
            with replacing(target) as temporary:
                size = _written(ready, temporary, progress)
        _report(data, source, size, quiet=quiet, as_json=as_json and not to_stdout)


@contextlib.contextmanager
def _as_file(data: str) -> Iterator[Path]:
    """Give a path to the data; standard input goes into a file whose suffix says its kind."""
    if data != "-":
        yield Path(data)
        return
    with tempfile.TemporaryDirectory() as folder:
        content = sys.stdin.buffer.read()
        suffix = next((end for start, end in _MAGIC if content.startswith(start)), ".txt")
        path = Path(folder) / f"input{suffix}"
        path.write_bytes(content)
        yield path


def _written(ready: Ready, path: Path, progress: Progress) -> int:
    """Write a compressed file, then read it again."""
    from autoencode.compression.files import verify, write_compressed
    from autoencode.compression.in_order import checked_threads

    source, effort, model = ready
    n_threads = checked_threads("auto")
    begun = time.perf_counter()
    n_rows = max(1, sum(member.n_rows for member in source.members))

    def told(member: Any, reached: int, size: int) -> None:
        done = source.n_bytes * reached / max(1, member.n_rows) / _MEGABYTE
        rate = done / max(time.perf_counter() - begun, 1e-9)
        progress.say(f"{reached:,} of {n_rows:,} rows, {size:,} bytes written, {rate:.1f} MB/s")

    with path.open("wb") as stream:
        shown = told if progress.visible else None
        size = write_compressed(source, stream, effort, shown, n_threads, model)
    progress.say("checking what was written")
    with path.open("rb") as written:
        verify(written, n_threads, None if model is None else model.file)
    return size


def _copy(path: Path, stream: BinaryIO) -> None:
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            stream.write(piece)
    stream.flush()


def _report(data: str, source: Source, size: int, *, quiet: bool, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps({"bytes": size, "data_bytes": source.n_bytes}) + "\n")
    elif not quiet:
        share = size / max(1, source.n_bytes)
        sys.stderr.write(
            f"autoencode: {data}: {source.n_bytes:,} bytes became {size:,} ({share:.1%})\n"
        )


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
        typer.Option(min=0, help="Of a file of codes: decode by so many of the first."),
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
    if not to_stdout:
        require_writable(target, force=force)
    with _naming(file), Progress(quiet=quiet, max_time=None) as progress:
        if to_stdout:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / f"output{target.suffix}"
                _restore(file, path, progress, read, recover=recover)
                _copy(path, sys.stdout.buffer)
        else:
            _restore(file, target, progress, read, recover=recover)


def _opened(model: Path | None) -> ModelFile | None:
    if model is None:
        return None
    from autoencode.compression.model_reference import open_model

    return open_model(model)


def _target(file: str, to_stdout: bool) -> Path:
    if file.endswith(SUFFIX) or to_stdout:
        return Path(file.removesuffix(SUFFIX))
    raise typer.BadParameter(f"{file} does not end in {SUFFIX}; say where to write with -o")


@contextlib.contextmanager
def _naming(file: str) -> Iterator[None]:
    try:
        yield
    except DataError as error:
        named = str(error).startswith((f"{file}:", "cannot write"))
        raise error if named else DataError(f"{file}: {error}") from error


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
            )
        return
    if file == "-":
        raise typer.BadParameter("--recover needs a file, not standard input")
    from autoencode.compression.codes import KIND, restored
    from autoencode.compression.recovery import lost_rows, recover_blocks

    header, blocks = recover_blocks(file, read[0])
    lost = lost_rows(header, blocks)
    if header.made_from.get("kind") == KIND:
        header, blocks = restored(header, blocks, read[1])
    with replacing(target) as temporary:
        write_blocks(header, iter(blocks), temporary)
    for name, first, last in lost:
        of = f" of {name}" if name else ""
        sys.stderr.write(f"autoencode: {file}: rows {first:,} to {last:,}{of} are lost\n")


def _inspect(
    file: str, model: ModelFile | None, *, listing: bool, quiet: bool, as_json: bool
) -> None:
    from autoencode.compression.files import verify

    with _naming(file), _reading(file) as stream:
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
