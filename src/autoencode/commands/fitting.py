"""``autoencode fit``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from autoencode import kinds
from autoencode.commands.display import print_json
from autoencode.commands.fit_job import FitJob, fit_and_write, print_result, result_as_json
from autoencode.commands.options import (
    AsJson,
    Columns,
    Drop,
    Force,
    Keep,
    Missing,
    Quiet,
    parse_columns,
    parse_components,
    parse_hidden,
    parse_number,
    parse_whole,
)

__all__ = ["fit"]

_MODEL, _TRAINING, _ROWS = "What the model is", "How it is trained", "Rows and columns"


def _part(axis: str, *also: str) -> Any:
    names = ", ".join([*also, *kinds.AXES[axis]])
    repeatable = " (repeatable)" if axis == "penalty" else ""
    return typer.Option(
        help=f"{names}; with options as NAME:KEY=VALUE{repeatable}.",
        metavar="SPEC",
        rich_help_panel=_MODEL,
    )


def _parsed(parser: Any, text: str, metavar: str, panel: str) -> Any:
    return typer.Option(parser=parser, help=text, metavar=metavar, rich_help_panel=panel)


Components = Annotated[
    Any,
    _parsed(
        parse_components,
        "Length of the code, or the share of held-out variance to explain; none: as long as "
        "the rows, trained to restore missing cells (for impute).",
        "0.95|16|none",
        _MODEL,
    ),
]
Hidden = Annotated[
    Any, _parsed(parse_hidden, "Hidden layers; none is PCA.", "512,256|none|auto", _MODEL)
]
Whole = Annotated[Any, _parsed(parse_whole, "Rows per step.", "N|auto", _TRAINING)]
Epochs = Annotated[
    Any, _parsed(parse_whole, "Passes over the data in the longest phase.", "N|auto", _TRAINING)
]
Rate = Annotated[Any, _parsed(parse_number, "Highest learning rate.", "RATE|auto", _TRAINING)]
Threads = Annotated[
    Any, _parsed(parse_whole, "The most threads inside one operator.", "N|auto", _TRAINING)
]
Seconds = Annotated[
    float | None,
    typer.Option(
        help="Seconds of fitting; results then depend on the machine.",
        metavar="S",
        rich_help_panel=_TRAINING,
    ),
]
Fraction = Annotated[
    float,
    typer.Option(help="Share of rows held out.", metavar="SHARE", rich_help_panel=_ROWS),
]
Scaling = Annotated[
    str,
    typer.Option(
        help="standard (each column by itself), common (one number for all) or auto: "
        "standard where columns have names.",
        metavar="KIND",
        rich_help_panel=_MODEL,
    ),
]
Report = Annotated[
    Path | None, typer.Option(help="Write a report: one HTML page.", metavar="FILE.html")
]
OtherRows = Annotated[
    str | None,
    typer.Option(
        help="Held-out rows, instead of a part of DATA.", metavar="FILE", rich_help_panel=_ROWS
    ),
]
Target = Annotated[
    str | None,
    typer.Option(
        help="What to reconstruct, row by row, if not DATA itself (clean rows for noisy ones).",
        metavar="FILE",
        rich_help_panel=_ROWS,
    ),
]
Seed = Annotated[
    int,
    typer.Option(help="The same seed gives the same bits.", min=0, rich_help_panel=_TRAINING),
]
Device = Annotated[
    str, typer.Option(help="cpu, cuda ... or auto.", metavar="NAME", rich_help_panel=_TRAINING)
]
Data = Annotated[
    str,
    typer.Argument(
        help="Rows: .csv, .parquet, .feather, .npy, .npz or a folder of .parquet.",
        metavar="DATA",
    ),
]
Output = Annotated[
    Path, typer.Option("--output", "-o", help="Where the model goes.", metavar="MODEL")
]
Architecture = Annotated[str, _part("architecture", "auto")]
Bottleneck = Annotated[str, _part("bottleneck")]
Corruption = Annotated[str, _part("corruption", "auto")]
Likelihood = Annotated[str, _part("likelihood", "auto")]
Penalties = Annotated[list[str] | None, _part("penalty")]


def fit(
    data: Data,
    output: Output,
    components: Components = "0.95",
    report: Report = None,
    drop: Drop = None,
    keep: Keep = None,
    column: Columns = None,
    missing: Missing = "ignorable",
    hidden: Hidden = "auto",
    architecture: Architecture = "auto",
    bottleneck: Bottleneck = "plain",
    corruption: Corruption = "auto",
    likelihood: Likelihood = "auto",
    penalty: Penalties = None,
    scaling: Scaling = "auto",
    max_time: Seconds = None,
    max_epochs: Epochs = "auto",
    batch_size: Whole = "auto",
    learning_rate: Rate = "auto",
    validation_fraction: Fraction = 0.1,
    held_out: OtherRows = None,
    target: Target = None,
    device: Device = "auto",
    threads: Threads = "auto",
    seed: Seed = 0,
    as_json: AsJson = False,
    quiet: Quiet = False,
    force: Force = False,
) -> None:
    """Fit an autoencoder to a file of rows and choose the length of its code.

    Tables are taken as they are: text, dates, missing cells. What is printed are
    figures on rows that nothing saw: by column, and the share of variance explained
    by length and beside PCA's. Ctrl-C saves what was learned so far.
    """
    parameters = {
        "n_components": components,
        "columns": parse_columns(column),
        "missing": missing,
        "hidden_layer_sizes": hidden,
        "architecture": architecture,
        "bottleneck": bottleneck,
        "corruption": corruption,
        "likelihood": likelihood,
        "penalties": tuple(penalty) if penalty else "auto",
        "scaling": scaling,
        "max_time": max_time,
        "max_epochs": max_epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "validation_fraction": validation_fraction,
        "device": device,
        "n_threads": threads,
        "random_state": seed,
    }
    left_out = [*(drop or ()), *(keep or ())]
    job = FitJob(data, output, report, left_out, held_out, target, parameters, quiet, force)
    result = fit_and_write(job)
    if as_json:
        print_json(result_as_json(job, result))
    else:
        print_result(result)
    if result.interrupted:
        raise typer.Exit(130)
