"""``autoencode export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from autoencode.commands.files import require_writable
from autoencode.commands.options import Force, Model, Trust

__all__ = ["export"]


def export(
    model: Model,
    output: Annotated[Path, typer.Option("--output", "-o", help="Where to write.", metavar="FILE")],
    to: Annotated[Literal["onnx"], typer.Option(help="The format.")] = "onnx",
    encoder: Annotated[bool, typer.Option("--encoder", help="Rows to codes only.")] = False,
    decoder: Annotated[bool, typer.Option("--decoder", help="Codes to rows only.")] = False,
    trust: Trust = None,
    force: Force = False,
) -> None:
    """Write a model for other runtimes; raw rows go in, scaling is inside.

    Needs the extra: pip install 'autoencode[onnx]'
    """
    if encoder and decoder:
        raise typer.BadParameter("--encoder and --decoder exclude each other; leave out both")
    require_writable(output, force=force)
    from autoencode.export import export_onnx
    from autoencode.loading import load

    fitted = load(model, trusted=tuple(trust or ()))
    part = "encoder" if encoder else "decoder" if decoder else "autoencoder"
    export_onnx(fitted, output, part=part, force=True)
