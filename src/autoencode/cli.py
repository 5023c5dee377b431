"""The command: what ``autoencode`` on a command line runs."""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from collections.abc import Callable
from typing import Annotated, Any, NoReturn, TextIO

import typer
from typer.core import TyperCommand, TyperGroup

from autoencode._version import __version__
from autoencode.commands.augmenting import augment
from autoencode.commands.coding import decode, encode, reconstruct
from autoencode.commands.compressing import compress
from autoencode.commands.decompressing import decompress
from autoencode.commands.demonstration import demo
from autoencode.commands.denoising import denoise
from autoencode.commands.detecting import detect
from autoencode.commands.exporting import export
from autoencode.commands.fitting import fit
from autoencode.commands.imputing import impute
from autoencode.commands.inspecting import inspect
from autoencode.commands.restoring import restore
from autoencode.commands.sampling import sample
from autoencode.errors import AutoencodeError, SpecError

__all__ = ["main"]

_DATA_AT_FAULT, _USAGE, _INTERRUPTED = 1, 2, 130
_READ = (
    *("data", "file", "codes", "images", "model", "first", "second"),
    *("mask", "normal", "held_out", "target"),
)
_WRITTEN = ("output", "report", "save", "save_model")
"""Names of parameters; those that are no paths do not matter."""
_NO_MEMORY = "there is not enough memory for this"


class _Commands(TyperGroup):
    """Runs a command and turns what goes wrong into one line and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            _forget_output()
            raise typer.Exit(_DATA_AT_FAULT) from None
        except SpecError as error:
            _fail(str(error), _USAGE)
        except AutoencodeError as error:
            _fail(str(error), _DATA_AT_FAULT)
        except MemoryError:
            _fail(_NO_MEMORY, _DATA_AT_FAULT)
        except KeyboardInterrupt:
            _fail("interrupted", _INTERRUPTED)
        except RuntimeError as error:
            if "allocate memory" not in str(error):  # how torch says that there is none left
                raise
            _fail(_NO_MEMORY, _DATA_AT_FAULT)
        except OSError as error:
            _forget_output()
            named = f"{error.filename}: " if error.filename else ""
            _fail(f"{named}{error.strerror or error}", _DATA_AT_FAULT)
        return result


class _Command(TyperCommand):
    """Refuses to write over what it reads, before it reads anything."""

    def invoke(self, ctx: Any) -> Any:
        outputs, sources = (
            [
                value
                for name in names
                if isinstance(value := ctx.params.get(name), str | os.PathLike)
            ]
            for names in (_WRITTEN, _READ)
        )
        for output in outputs:
            if any(_are_one(source, output) for source in sources):
                _fail(f"{output} is what is read; name another file to write", _DATA_AT_FAULT)
        return super().invoke(ctx)


def _are_one(source: str | os.PathLike[str], output: str | os.PathLike[str]) -> bool:
    """Say whether two names, one of them perhaps of nothing that exists, are of one file."""
    try:
        return os.path.samefile(source, output)
    except (OSError, ValueError):
        return False


def _fail(message: str, code: int) -> NoReturn:
    line = " ".join(message.splitlines())
    sys.stderr.write(f"autoencode: {line}\n")
    raise typer.Exit(code) from None


def _forget_output() -> None:
    """Send what is still buffered nowhere: at exit Python would fail on it once more."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def _show_version(asked: bool) -> None:
    if asked:
        sys.stdout.write(f"autoencode {__version__}\n")
        raise typer.Exit


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Write a warning without the line of source it comes from."""
    text = " ".join(str(message).splitlines())
    (file or sys.stderr).write(f"autoencode: warning: {text}\n")


app = typer.Typer(
    name="autoencode",
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Example: autoencode fit table.csv -o model.safetensors",
)


@app.callback()
def _autoencode(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Turn rows into short codes and back, never worse than PCA."""


_EXAMPLES: dict[Callable[..., None], str] = {
    fit: "fit table.csv -o model.safetensors --keep id --report report.html",
    encode: "encode model.safetensors table.csv -o codes.parquet --keep id",
    decode: "decode model.safetensors codes.parquet -o decoded.csv",
    reconstruct: "reconstruct model.safetensors table.csv -o reconstructed.csv --keep id",
    denoise: "denoise model.safetensors table.csv -o restored.csv --keep id",
    detect: "detect table.csv -o judged.csv --fdr 0.05 --keep id",
    impute: "impute model.safetensors table.csv -o completed-{draw}.parquet --draws 5",
    restore: "restore model.safetensors photos/ --mask masks/ -o restored",
    augment: "augment model.safetensors table.csv -n 5 -o more.csv --label class",
    sample: "sample model.safetensors -n 1000 -o drawn.csv --given colour=red",
    compress: "compress readings.parquet --relative 1e-3",
    decompress: "decompress readings.parquet.aez -o readings.parquet",
    inspect: "inspect model.safetensors",
    export: "export model.safetensors --to onnx --encoder -o encoder.onnx",
    demo: "demo -o demo",
}
for _command, _example in _EXAMPLES.items():
    app.command(cls=_Command, epilog=f"Example: autoencode {_example}")(_command)


def main() -> None:
    """Run the command and exit."""
    warnings.showwarning = _show_warning
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError):
            # File names may hold bytes that have no letter.
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    app()
