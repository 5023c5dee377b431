"""``autoencode export``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from autoencode.commands.files import require_writable
from autoencode.commands.models import require_codes
from autoencode.commands.options import Force, Model, Trust

if TYPE_CHECKING:
    from autoencode.estimators import Autoencoder

__all__ = ["export"]


def export(
    model: Model,
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="Where to write; saelens is a folder.", metavar="FILE"),
    ],
    to: Annotated[
        Literal["onnx", "saelens"], typer.Option(help="The format; saelens is of sparse models.")
    ] = "onnx",
    encoder: Annotated[bool, typer.Option("--encoder", help="Rows to codes only.")] = False,
    decoder: Annotated[bool, typer.Option("--decoder", help="Codes to rows only.")] = False,
    trust: Trust = None,
    force: Force = False,
) -> None:
    r"""Write a model for other runtimes; raw rows go in, scaling is inside.

    onnx needs the extra: pip install 'autoencode\[onnx]'
    """
    if encoder and decoder:
        raise typer.BadParameter("--encoder and --decoder exclude each other; leave out both")
    if to == "saelens" and (encoder or decoder):
        part = "--encoder" if encoder else "--decoder"
        raise typer.BadParameter(f"{part} is for --to onnx: a folder of SAELens has both")
    if to == "onnx":
        require_writable(output, force=force)
    require_codes(model)
    from autoencode.export import export_onnx, export_saelens
    from autoencode.loading import load

    fitted = load(model, trusted=tuple(trust or ()))
    if to == "saelens":
        export_saelens(fitted, output, force=force)
        _say_what_is_lost(fitted, output)
        return
    part = "encoder" if encoder else "decoder" if decoder else "autoencoder"
    export_onnx(fitted, output, part=part, force=True)
    if part != "decoder":
        _say_what_is_lost(fitted, output)


def _say_what_is_lost(model: Autoencoder, output: Path) -> None:
    """Warn that exported codes are the encoder's alone where the model's are not."""
    alone = model._state.facts.get("encoder")
    if alone is None:
        return
    sys.stderr.write(
        f"autoencode: {output} has the encoder's codes, which explain "
        f"{alone['explained_variance']:.2%} of held-out variance; refined, as the model's, "
        f"{float(model.curve_['explained_variance'][-1]):.2%}\n"
    )
