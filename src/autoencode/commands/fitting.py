"""``autoencode fit``."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import signature
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from autoencode import kinds
from autoencode.commands.detector_fitting import (
    AllNormal,
    DetectorJob,
    Split,
    fit_detector_file,
)
from autoencode.commands.display import print_json
from autoencode.commands.fit_job import FitJob, fit_and_write, print_result, result_as_json
from autoencode.commands.options import (
    Aligned,
    AsJson,
    Columns,
    Drop,
    Fit,
    Force,
    Keep,
    Missing,
    Quiet,
    Size,
    SkipBad,
    parse_columns,
    parse_components,
    parse_hidden,
    parse_number,
    parse_whole,
)
from autoencode.commands.photographs import fit_photographs, has_photographs
from autoencode.data.picture_wish import PictureWish
from autoencode.presets import PRESETS

__all__ = ["fit"]

_MODEL, _TRAINING, _ROWS = "What the model is", "How it is trained", "Rows and columns"
_DENOISING, _SPARSE = "With --kind denoising", "With --kind sparse"
_VARIATIONAL = "With --kind variational"
_LABELLED = ("autoencoder", "variational")
# Options that are parameters of an estimator, and what they are called there.
_PARAMETERS = {
    "components": "n_components",
    "active": "n_active",
    "hidden": "hidden_layer_sizes",
    "threads": "n_threads",
    "seed": "random_state",
    **{
        name: name
        for name in (
            *("noise", "rows", "refine", "missing", "scaling", "device"),
            *("n_samples", "posterior", "free_bits", "augmentation"),
            *("architecture", "bottleneck", "corruption", "likelihood"),
            *("max_time", "max_epochs", "batch_size", "learning_rate", "validation_fraction"),
        )
    },
}


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
        "the rows, trained to restore missing cells (for impute). auto: 0.95, none if "
        "denoising, four times the columns if sparse, what PCA needs for 0.95 if variational.",
        "0.95|16|none|auto",
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
KeptState = Annotated[
    Path | None,
    typer.Option(
        "--checkpoint",
        help="Keep the state of training here; if FILE exists, go on from it. Removed at the end.",
        metavar="FILE",
        rich_help_panel=_TRAINING,
    ),
]
Kind = Annotated[
    Literal["autoencoder", "denoising", "sparse", "variational", "convolutional", "anomaly"],
    typer.Option(
        help="autoencoder: short codes; denoising: takes noise out of rows; sparse: many parts, "
        "of which each row has few; variational: codes with a prior, rows with a likelihood; "
        "convolutional: pictures; anomaly: a detector of odd rows, for detect.",
        rich_help_panel=_MODEL,
    ),
]
Noise = Annotated[
    Literal["auto", "gaussian", "impulse", "swap"],
    typer.Option(
        help="Noise added to every value, a fixed value in place of some, or another row's value "
        "in place of some; auto: found out.",
        rich_help_panel=_DENOISING,
    ),
]
RowsAre = Annotated[
    Literal["auto", "clean", "noisy"],
    typer.Option(
        "--rows",
        help="What DATA is, without --target; auto: noisy if there is plainly noise in it.",
        rich_help_panel=_DENOISING,
    ),
]
Active = Annotated[
    Any,
    _parsed(parse_number, "Parts of a row; auto: as the rows say.", "NUMBER|auto", _SPARSE),
]
Positive = Annotated[
    bool,
    typer.Option("--positive", help="Parts have no negative values.", rich_help_panel=_SPARSE),
]
Refine = Annotated[
    Literal["auto", "omp", "none"],
    typer.Option(
        help="omp: codes by orthogonal matching pursuit, slower and better; none: the encoder's; "
        "auto: omp where rows are complete and plain numbers.",
        rich_help_panel=_SPARSE,
    ),
]
Samples = Annotated[
    Any,
    _parsed(
        parse_whole,
        "Draws of each row in training; auto: one. More: the importance-weighted bound.",
        "N|auto",
        _VARIATIONAL,
    ),
]
Posterior = Annotated[
    Literal["auto", "gaussian", "flow"],
    typer.Option(
        help="What codes are drawn from; flow: moved by layers that know the row; auto: gaussian.",
        rich_help_panel=_VARIATIONAL,
    ),
]
FreeBits = Annotated[
    Any,
    _parsed(
        parse_number,
        "Nats of each unit that cost nothing in training; auto: none.",
        "NATS|auto",
        _VARIATIONAL,
    ),
]
Label = Annotated[
    str | None,
    typer.Option(
        help="The column with each row's class, which is not fitted: sample --class draws rows of "
        "one. For --kind autoencoder and variational.",
        metavar="COLUMN",
        rich_help_panel=_ROWS,
    ),
]
Augmentation = Annotated[
    Literal["auto", "none", "shift", "shift_flip"],
    typer.Option(
        help="Move pictures by a pixel in training, or mirror them too; auto: as held-out "
        "ones say.",
        rich_help_panel="With --kind convolutional",
    ),
]
Data = Annotated[
    str,
    typer.Argument(
        help="Rows: .csv, .parquet, .feather, .npy, .npz or a folder of .parquet or .npy; or "
        "pictures: a folder or .zip of PNG, JPEG, TIFF, WebP.",
        metavar="DATA",
    ),
]
Output = Annotated[
    Path, typer.Option("--output", "-o", help="Where the model goes.", metavar="MODEL")
]
Architecture = Annotated[str, _part("architecture", "auto")]
Bottleneck = Annotated[str, _part("bottleneck", "auto")]
Corruption = Annotated[str, _part("corruption", "auto")]
Likelihood = Annotated[str, _part("likelihood", "auto")]
Penalties = Annotated[list[str] | None, _part("penalty")]


def fit(
    data: Data,
    output: Output,
    kind: Kind = "autoencoder",
    components: Components = "auto",
    report: Report = None,
    drop: Drop = None,
    keep: Keep = None,
    label: Label = None,
    column: Columns = None,
    missing: Missing = "ignorable",
    hidden: Hidden = "auto",
    architecture: Architecture = "auto",
    bottleneck: Bottleneck = "auto",
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
    noise: Noise = "auto",
    rows: RowsAre = "auto",
    active: Active = "auto",
    positive: Positive = False,
    refine: Refine = "auto",
    n_samples: Samples = "auto",
    posterior: Posterior = "auto",
    free_bits: FreeBits = "auto",
    augmentation: Augmentation = "auto",
    aligned: Aligned = False,
    normal: AllNormal = False,
    split: Split = False,
    device: Device = "auto",
    threads: Threads = "auto",
    seed: Seed = 0,
    checkpoint: KeptState = None,
    size: Size = None,
    fitting: Fit = None,
    skip_bad: SkipBad = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
    force: Force = False,
) -> None:
    """Fit an autoencoder to a file of rows and choose the length of its code.

    Tables are taken as they are: text, dates, missing cells; so are pictures of any
    size and mode, which are brought to one form. What is printed are
    figures on rows that nothing saw: by column, and the share of variance explained
    by length and beside PCA's. Ctrl-C saves what was learned so far.
    --kind anomaly gives a detector, for autoencode detect MODEL DATA.
    """
    arguments = dict(locals())
    if kind == "anomaly":
        defaults = {name: part.default for name, part in signature(fit).parameters.items()}
        fit_detector_file(DetectorJob.of(arguments, defaults), as_json=as_json)
    else:
        _run(_job(arguments), as_json=as_json)


def _job(given: Mapping[str, Any]) -> FitJob:
    """Return what the arguments of ``fit`` ask for."""
    kind, label, target = given["kind"], given["label"], given["target"]
    for name in ("normal", "split"):
        if given[name]:
            raise typer.BadParameter(f"--{name} is for --kind anomaly")
    parameters = _chosen(kind, _parameters(given), target)
    carried = [*(given["keep"] or ())]
    if label is not None:
        if kind not in _LABELLED:
            raise typer.BadParameter(f"--label is for --kind {' or '.join(_LABELLED)}")
        parameters["conditional"] = True
        carried += [] if label in carried else [label]
    names = (
        "data",
        "output",
        "report",
        "held_out",
        "target",
        "quiet",
        "force",
        "kind",
        "checkpoint",
    )
    further = {name: given[name] for name in (*names, "label")}
    wish = PictureWish(given["size"], given["fitting"], given["skip_bad"])
    left_out = given["drop"] or ()
    return FitJob(
        left_out=left_out, parameters=parameters, carried=carried, pictures=wish, **further
    )


def _run(job: FitJob, *, as_json: bool) -> None:
    if has_photographs(job):
        if fit_photographs(job, as_json=as_json):
            raise typer.Exit(130)
        return
    result = fit_and_write(job)
    if as_json:
        print_json(result_as_json(job, result))
    else:
        print_result(result)
    if result.interrupted:
        raise typer.Exit(130)


def _parameters(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of an estimator that the options of a fit say."""
    found = {parameter: options[name] for name, parameter in _PARAMETERS.items()}
    columns = parse_columns(options["column"])
    return found | {
        **({} if columns is None else {"columns": columns}),
        "penalties": tuple(options["penalty"] or ()) or "auto",
        "positive": options["positive"] or "auto",
        "aligned": options["aligned"] or "auto",
        "refine": None if options["refine"] == "none" else options["refine"],
    }


def _chosen(kind: str, given: dict[str, Any], target: str | None) -> dict[str, Any]:
    """Return what the estimator of a kind is to be given, or refuse what it does not take."""
    preset = PRESETS[kind]
    found = {name: value for name, value in given.items() if value not in ("auto", "ignorable")}
    for other, further in PRESETS.items():
        for name in further.takes:
            if name in found and name not in preset.takes:
                option = next((key for key, same in _PARAMETERS.items() if same == name), name)
                raise typer.BadParameter(f"--{option.replace('_', '-')} is for --kind {other}")
    for name in preset.decides:
        if name in found:
            option = {"columns": "column"}.get(name, name)
            raise typer.BadParameter(f"--{option} does not go with --kind {kind}: leave it out")
    if kind == "sparse" and not isinstance(found.get("n_components", 1), int):
        raise typer.BadParameter("--components of --kind sparse is a whole number, or auto")
    if target is not None and "rows" in found:
        raise typer.BadParameter("--rows is for rows alone: leave it out, or --target")
    return found
