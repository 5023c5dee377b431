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
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import typer

from autoencode.commands.files import require_writable
from autoencode.commands.options import AsJson, Force, Quiet, parse_bounds
from autoencode.commands.progress import Progress
from autoencode.errors import DataError
from autoencode.files import replacing

if TYPE_CHECKING:
    from autoencode.compression.reading import Header
    from autoencode.compression.sources import Source

__all__ = ["compress", "decompress"]

SUFFIX = ".aez"
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
    target = Path(f"{data}{SUFFIX}") if output is None else Path(output)
    to_stdout = output == "-" or (output is None and data == "-")
    if not to_stdout:
        require_writable(target, force=force)
    effort = "fast" if fast else "best" if best else "default"
    from autoencode.compression.sources import open_source

    with _as_file(data) as path, Progress(quiet=quiet, max_time=None) as progress:
        progress.say("looking at the data")
        source = open_source(path, *bounds)
        if to_stdout:
            with tempfile.TemporaryDirectory() as folder:
                size = _written(source, Path(folder) / f"x{SUFFIX}", effort, progress)
                _copy(Path(folder) / f"x{SUFFIX}", sys.stdout.buffer)
        else:
            with replacing(target) as temporary:
                size = _written(source, temporary, effort, progress)
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


def _written(source: Source, path: Path, effort: str, progress: Progress) -> int:
    """Write a compressed file, then read it again."""
    from autoencode.compression.files import verify, write_compressed
    from autoencode.compression.in_order import checked_threads

    n_threads = checked_threads("auto")
    begun = time.perf_counter()
    n_rows = max(1, sum(member.n_rows for member in source.members))

    def told(member: Any, reached: int, size: int) -> None:
        done = source.n_bytes * reached / max(1, member.n_rows) / _MEGABYTE
        rate = done / max(time.perf_counter() - begun, 1e-9)
        progress.say(f"{reached:,} of {n_rows:,} rows, {size:,} bytes written, {rate:.1f} MB/s")

    with path.open("wb") as stream:
        shown = told if progress.visible else None
        size = write_compressed(source, stream, effort, shown, n_threads)
    progress.say("checking what was written")
    with path.open("rb") as written:
        verify(written, n_threads)
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
    force: Force = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Give back what was compressed; the compressed file stays."""
    if test + listing + recover > 1:
        raise typer.BadParameter("--test, --list and --recover exclude each other")
    if test or listing:
        _inspect(file, listing=listing, quiet=quiet, as_json=as_json)
        return
    to_stdout = output == "-" or (output is None and file == "-")
    target = Path(output) if output not in (None, "-") else _target(file, to_stdout)
    if not to_stdout:
        require_writable(target, force=force)
    with _naming(file), Progress(quiet=quiet, max_time=None) as progress:
        if to_stdout:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / f"output{target.suffix}"
                _restore(file, path, progress, recover=recover)
                _copy(path, sys.stdout.buffer)
        else:
            _restore(file, target, progress, recover=recover)


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


def _restore(file: str, target: Path, progress: Progress, *, recover: bool) -> None:
    from autoencode.compression.files import write_blocks, write_restored
    from autoencode.compression.in_order import checked_threads

    if not recover:
        with _reading(file) as stream:
            write_restored(
                stream,
                target,
                lambda block: progress.say(f"row {block.first + len(block.rows):,}"),
                checked_threads("auto"),
            )
        return
    if file == "-":
        raise typer.BadParameter("--recover needs a file, not standard input")
    from autoencode.compression.recovery import lost_rows, recover_blocks

    header, blocks = recover_blocks(file)
    with replacing(target) as temporary:
        write_blocks(header, iter(blocks), temporary)
    for name, first, last in lost_rows(header, blocks):
        of = f" of {name}" if name else ""
        sys.stderr.write(f"autoencode: {file}: rows {first:,} to {last:,}{of} are lost\n")


def _inspect(file: str, *, listing: bool, quiet: bool, as_json: bool) -> None:
    from autoencode.compression.files import verify

    with _naming(file), _reading(file) as stream:
        if listing:
            facts = _facts(stream)
        else:
            header, n_blocks = verify(stream)
            facts = {"blocks": n_blocks, **_content(header)}
    if as_json:
        sys.stdout.write(json.dumps(facts) + "\n")
    elif listing:
        for name, value in facts.items():
            sys.stdout.write(f"{name}: {value}\n")
    elif not quiet:
        sys.stderr.write(f"autoencode: {file}: whole, {facts['blocks']} blocks\n")


def _facts(stream: BinaryIO) -> dict[str, Any]:
    """Read the header only."""
    from autoencode.compression.container import START_BYTES, read_section, read_start
    from autoencode.compression.reading import parse_header

    read_start(stream)
    return _content(parse_header(read_section(stream, START_BYTES)))


def _content(header: Header) -> dict[str, Any]:
    from autoencode.compression.members import TableMember

    facts: dict[str, Any] = {"made from": header.made_from.get("kind")}
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
