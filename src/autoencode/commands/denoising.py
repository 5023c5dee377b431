"""``autoencode denoise``."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from autoencode.commands.display import print_json
from autoencode.commands.files import naming
from autoencode.commands.models import header_of, load_with_rows, write_rows
from autoencode.commands.options import (
    AsJson,
    Data,
    Drop,
    Force,
    Keep,
    Model,
    SkipBad,
    Table,
    Trust,
    parse_number,
)
from autoencode.commands.photographs import denoise_photographs
from autoencode.commands.picture_folders import (
    blocks_of,
    folder_form,
    rows_at_once,
    write_as_pictures,
)
from autoencode.errors import DataError, ModelFileError
from autoencode.presets import PRESETS

if TYPE_CHECKING:
    from autoencode.data.rows import Rows
    from autoencode.estimators import DenoisingAutoencoder
    from autoencode.noise import Noise

__all__ = ["denoise"]

_SAMPLED = 2000
"""Rows, at most, by which it is decided what kind of noise there is in a folder of pictures."""

Level = Annotated[
    Any,
    typer.Option(
        parser=parse_number,
        help="Deviation of normal noise, if it is known: in the data's units, in columns' "
        "deviations for tables. auto: as in the fit, or found out after a fit to clean rows.",
        metavar="X|auto",
    ),
]

Adapt = Annotated[
    int,
    typer.Option(
        min=0,
        help="For models of pictures of any size: fit the network further to each picture, so "
        "many steps; 200 help where patterns repeat, as in text.",
        metavar="STEPS",
    ),
]


def denoise(
    model: Model,
    data: Data,
    output: Table = Path("-"),
    level: Level = "auto",
    adapt: Adapt = 0,
    drop: Drop = None,
    keep: Keep = None,
    skip_bad: SkipBad = False,
    trust: Trust = None,
    as_json: AsJson = False,
    force: Force = False,
) -> None:
    """Take the noise out of rows; cells that it did not touch stay as they are.

    MODEL is one that was fitted with --kind denoising. What noise there was, and how
    much it changed, is said on standard error, or as JSON on standard output. Missing
    cells are restored too. Columns that the model leaves out stay as they are.
    Pictures of files are written as files if FILE is a folder; a model of pictures of any
    size (fit --kind denoising of a folder) takes them one after the other.
    """
    if as_json and os.fspath(output) == "-":
        raise typer.BadParameter("--json needs -o FILE: standard output cannot hold both")
    told_level = None if level == "auto" else float(level)
    if header_of(model, "estimator") == ["PictureDenoiser"]:
        denoise_photographs(
            model,
            data,
            output,
            level=told_level,
            adapt=adapt,
            skip_bad=skip_bad,
            as_json=as_json,
            force=force,
        )
        return
    if adapt:
        raise DataError(f"--adapt is for models of pictures of any size, and {model} is none")
    form = folder_form(output, model, force=force)
    _require_denoising(model)
    fitted, rows = load_with_rows(
        model, data, drop=drop, keep=keep, trust=trust, decodes=True, skip_bad=skip_bad
    )
    fitted._level(told_level)
    changes = _Changes(fitted, rows)
    if form is None:
        with naming(data):
            found, noise = fitted.denoise_with_noise(rows, level=told_level)
        schema = fitted._state.schema
        write_rows(output, found, rows.kept, names=rows.names, schema=schema, force=force)
        changes.add(rows, found, noise)
    else:
        with naming(data):
            blocks = _blocks(fitted, rows, told_level, changes)
            write_as_pictures(output, form, rows, blocks, force=force)
    told = _known_noise(fitted, changes.noise, told_level) | changes.told()
    if as_json:
        print_json({"output": str(output), **told})
    else:
        sys.stderr.write(f"autoencode: {data}: {_said(told)}\n")


def _require_denoising(model: Path) -> None:
    """Refuse another kind of model before any row is read."""
    (estimator,) = header_of(model, "estimator")
    if estimator != PRESETS["denoising"].estimator:
        raise ModelFileError(
            f"{model} is not a denoising model: fit one with autoencode fit DATA --kind denoising"
        )


def _blocks(
    fitted: DenoisingAutoencoder, rows: Rows, level: float | None, changes: _Changes
) -> Iterator[Any]:
    """Yield pictures without noise, a few megabytes at a time, and count what changed."""
    import numpy as np

    noise = None
    if rows.n_rows > rows_at_once(fitted):
        # What a sample shows of the kind holds for all, so that blocks go together.
        numbers = np.arange(0, rows.n_rows, -(-rows.n_rows // _SAMPLED))
        sample = rows.take(numbers).reshape(len(numbers), *rows.sample_shape)
        noise = fitted.denoise_with_noise(sample, level=level)[1]
    for block in blocks_of(fitted, rows):
        found, own = fitted._with_noise(block, level, None if noise is None else noise.kind)
        changes.add(block, found, own if noise is None else noise)
        yield found


def _known_noise(fitted: DenoisingAutoencoder, noise: Noise, level: float | None) -> dict[str, Any]:
    """Return what was found of the noise, and where that is from."""
    from autoencode.summary import known_noise

    state = fitted._state
    given = noise.header()
    if noise.kind == "gaussian":
        given |= {name: given[name] / state.scaling.unit for name in ("level", "error")}
    told = known_noise(state.facts | {"noise": given}, state.scaling.scale)
    assert told is not None
    source = "given" if level is not None else "fit"
    if level is None and fitted.situation_ == "clean":
        source = "found"
    if fitted.n_components is not None:
        source = "code"
    return {"noise": told | {"source": source}}


class _Changes:
    """Counts what is not as it was given, and measures how far numbers were moved.

    Parameters
    ----------
    fitted : DenoisingAutoencoder
        The model.
    rows : Rows
        All that it is applied to.
    """

    def __init__(self, fitted: DenoisingAutoencoder, rows: Rows) -> None:
        from autoencode.corruptions import real_values

        self.scaling, self.n_rows = fitted._state.scaling, rows.n_rows
        self.real = real_values(fitted._state.composition.layout)
        self.cells = self.changed = self.filled_in = self.moved = 0
        self.squares = 0.0
        self.noise = fitted.noise_

    def add(self, rows: Any, found: Any, noise: Noise) -> None:
        """Count some rows, or an array of them, and what they became."""
        import numpy as np

        from autoencode.data.rows import Rows
        from autoencode.preprocess.table_rows import TableRows

        self.noise = noise
        if isinstance(rows, TableRows):
            given, result = rows.cells, rows.schema.cells(found)
            steps = rows.schema.spread(result) - rows.schema.spread(given)
            # A date is two numbers, but one cell.
            starts = [span.cells.start for span in rows.schema.spans if span.block.n_cells]
            differs = np.logical_or.reduceat(given != result, starts, axis=1)
            missing, left = (
                np.logical_or.reduceat(np.isnan(cells), starts, axis=1) for cells in (given, result)
            )
        else:
            values = rows.dense() if isinstance(rows, Rows) else rows.reshape(len(rows), -1)
            given = values.astype(np.float64, copy=False)
            result = np.asarray(found, dtype=np.float64).reshape(given.shape)
            steps, differs = result - given, given != result
            missing, left = np.isnan(given), np.isnan(result)
        steps = steps[:, self.real]
        if self.scaling.unit == 1.0:
            steps = steps / self.scaling.scale[self.real]
        moved = steps[~np.isnan(steps) & (steps != 0)]
        self.cells += differs.size
        self.changed += int((differs & ~missing).sum())
        self.filled_in += int((missing & ~left).sum())
        self.moved, self.squares = self.moved + len(moved), self.squares + float(moved @ moved)

    def told(self) -> dict[str, Any]:
        """Return the figures of all rows."""
        return {
            "rows": self.n_rows,
            "cells": self.cells,
            "changed": self.changed,
            "filled_in": self.filled_in,
            "rms_change": (self.squares / max(1, self.moved)) ** 0.5,
            "unit": "deviations" if self.scaling.unit == 1.0 else "data",
        }


def _said(told: dict[str, Any]) -> str:
    """Return one line about what was found and done."""
    from autoencode.summary import describe_noise

    noise = told["noise"]
    known = {"given": ", as given", "fit": ", as in the fit", "found": ""}
    if noise["source"] == "code":
        text = "restored through the model's code"
    elif noise["kind"] == "none":
        text = "no noise found"
    else:
        text = f"noise: {describe_noise(noise)}{known[noise['source']]}"
    text += f"; {told['changed']:,} of {told['cells']:,} cells changed"
    if told["rms_change"]:
        of = " of the columns' deviations" if told["unit"] == "deviations" else ""
        text += f", numbers by {told['rms_change']:.3g}{of} (root mean square)"
    if told["filled_in"]:
        text += f"; {told['filled_in']:,} missing ones filled in"
    return text
