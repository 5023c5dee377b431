"""``autoencode compress``."""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, Literal, TypeAlias

import typer

from autoencode.commands.files import require_writable
from autoencode.commands.options import AsJson, Force, Quiet, parse_bounds
from autoencode.commands.progress import Progress
from autoencode.errors import DataError
from autoencode.files import replacing

if TYPE_CHECKING:
    from autoencode.compression.effort import Effort
    from autoencode.compression.sources import Source
    from autoencode.compression.writing import WrittenModel

    Ready: TypeAlias = tuple[Source, Effort, WrittenModel | None]

__all__ = ["SUFFIX", "SharedModel", "compress", "copied", "naming_file"]

SUFFIX = ".aez"
SharedModel = Annotated[
    Path | None,
    typer.Option(
        help="A model that compress --save-model wrote, or with --codes fit.", metavar="MODEL"
    ),
]
Output = Annotated[
    str | None,
    typer.Option(
        "--output",
        "-o",
        help="Where to write; DATA.aez if not given; - is standard output.",
        metavar="FILE",
    ),
]
Bound = Annotated[
    str | None,
    typer.Option(
        help="The largest absolute error of numbers: 1e-3 for all, or price=0.01,temp=0.1.",
        metavar="BOUND",
    ),
]
Relative = Annotated[
    str | None,
    typer.Option(help="The same as a share of each column's range.", metavar="BOUND"),
]
Lossless = Annotated[bool, typer.Option("--lossless", help="Keep every bit, as without a bound.")]
Fast = Annotated[bool, typer.Option("--fast", help="Try only what is quick.")]
Best = Annotated[bool, typer.Option("--best", help="Try longer for a smaller file.")]
SaveModel = Annotated[
    Path | None,
    typer.Option(
        help="Write what is learned from DATA here, for many small files of its kind.",
        metavar="MODEL",
    ),
]
Embed = Annotated[bool, typer.Option("--embed", help="Put the model into the file as well.")]
Codes = Annotated[
    bool,
    typer.Option("--codes", help="Store only the codes of a fitted autoencoder, which --model is."),
]
Exact = Annotated[
    bool,
    typer.Option("--exact", help="Of a folder: keep the bytes of pictures, not only pixels."),
]
NoModel = Annotated[bool, typer.Option("--no-model", help="Train and use no network.")]
_MAGIC = ((b"\x93NUMPY", ".npy"), (b"PK\x03\x04", ".npz"), (b"PAR1", ".parquet"),
          (b"ARROW1", ".feather"))  # fmt: skip
_MEGABYTE = 1e6


def compress(
    data: Annotated[
        str,
        typer.Argument(
            help="A .npy, .npz, .parquet, .feather, .csv, .tsv or .txt file, or a folder; "
            "- is standard input.",
            metavar="DATA",
        ),
    ],
    output: Output = None,
    error: Bound = None,
    relative: Relative = None,
    lossless: Lossless = False,
    fast: Fast = False,
    best: Best = False,
    model: SharedModel = None,
    save_model: SaveModel = None,
    embed: Embed = False,
    codes: Codes = False,
    exact: Exact = False,
    no_model: NoModel = False,
    force: Force = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Make a file or a folder smaller: without loss, or within a bound that is kept.

    The input stays. What is written was read again and compared.
    """
    _exclude({"--fast": fast, "--best": best})
    _exclude({"--error": error, "--relative": relative, "--lossless": lossless})
    _exclude({"--model": model, "--no-model": no_model})
    bounds = parse_bounds(error, "--error"), parse_bounds(relative, "--relative")
    target = Path(f"{Path(data)}{SUFFIX}") if output is None else Path(output)
    to_stdout = output == "-" or (output is None and data == "-")
    for written in (None if to_stdout else target, save_model):
        if written is not None:
            require_writable(written, force=force)
    from autoencode.compression.effort import effort_named
    from autoencode.compression.files import check_models, modelled
    from autoencode.compression.folders import open_any

    effort = effort_named("fast" if fast else "best" if best else "default")
    chosen: Path | Literal[False] | None = False if no_model else model
    bounded = error is not None or relative is not None
    check_models(chosen, save_model, embed=embed, codes=codes, bounded=bounded)
    with _as_file(data) as path, Progress(quiet=quiet, max_time=None) as progress:
        progress.say("looking at the data")
        source = open_any(path, *bounds, as_table=codes, exact=exact)
        with naming_file(data):
            ready = modelled(source, effort, chosen, save_model, embed=embed, codes=codes)
        if to_stdout:
            with tempfile.TemporaryDirectory() as folder:
                size = _written(ready, Path(folder) / f"x{SUFFIX}", progress)
                copied(Path(folder) / f"x{SUFFIX}", sys.stdout.buffer)
        else:
            with replacing(target) as temporary:
                size = _written(ready, temporary, progress)
        _report(data, source, size, quiet=quiet, as_json=as_json and not to_stdout)


def _exclude(given: Mapping[str, object]) -> None:
    """Refuse more than one of these options."""
    if sum(value is not None and value is not False for value in given.values()) > 1:
        *names, last = given
        raise typer.BadParameter(f"{', '.join(names)} and {last} exclude each other")


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


def copied(path: Path, stream: BinaryIO) -> None:
    """Write a file to a stream."""
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


@contextlib.contextmanager
def naming_file(file: str) -> Iterator[None]:
    """Put the file before messages that do not name one."""
    try:
        yield
    except DataError as error:
        named = str(error).startswith((f"{file}:", "cannot write"))
        raise error if named else DataError(f"{file}: {error}") from error
