"""A fit from files to files: what ``fit`` and ``demo`` have in common."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoencode.commands.display import curve_rows, print_columns, print_curve, print_text
from autoencode.commands.files import classes_of, naming, read_data, read_for_fit, require_writable
from autoencode.commands.progress import Progress
from autoencode.data.picture_wish import ANY_PICTURES, PictureWish
from autoencode.errors import DataError
from autoencode.presets import PRESETS

if TYPE_CHECKING:
    from autoencode.data.rows import Rows
    from autoencode.estimators import Autoencoder

__all__ = [
    "FitJob",
    "Result",
    "fit_and_write",
    "fit_model",
    "interrupted_text",
    "print_result",
    "require_outputs",
    "result_as_json",
]


@dataclass(frozen=True)
class FitJob:
    """One fit from files to files.

    Attributes
    ----------
    data : str
        File of rows.
    output : Path
        Where the model goes.
    report : Path or None
        Where the report goes.
    left_out : sequence of str
        Columns that are not used.
    held_out, target : str or None
        Files of rows, as ``Autoencoder.fit`` takes them.
    parameters : mapping
        Of the estimator.
    quiet, force : bool
        No progress; replace files.
    kind : str
        One of `autoencode.presets.PRESETS`.
    checkpoint : Path or None
        Where the state of training is kept.
    carried : sequence of str
        Columns that are not fitted; the report says what goes with them.
    label : str or None
        One of these: the class of each row, by which new ones can be drawn.
    pictures : PictureWish
        How files of pictures are to be read.
    """

    data: str
    output: Path
    report: Path | None = None
    left_out: Sequence[str] = ()
    held_out: str | None = None
    target: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    quiet: bool = False
    force: bool = False
    kind: str = "autoencoder"
    checkpoint: Path | None = None
    carried: Sequence[str] = ()
    label: str | None = None
    pictures: PictureWish = ANY_PICTURES


@dataclass(frozen=True)
class Result:
    """A fitted model, the rows it was fitted to, and whether Ctrl-C ended the fit."""

    model: Autoencoder
    rows: Rows
    interrupted: bool


@dataclass(frozen=True)
class _Sources:
    """All rows that a fit is given."""

    rows: Rows
    held_out: Rows | None
    target: Rows | None


def fit_and_write(job: FitJob) -> Result:
    """Fit, and write model and report.

    After Ctrl-C the model with what was learned is written all the same.

    Raises
    ------
    DataError
        If the data cannot be used or a file not be written; the latter is found out
        before fitting where that is possible.
    KeyboardInterrupt
        If nothing was learned yet.
    """
    require_outputs(job)
    with Progress(quiet=job.quiet, max_time=job.parameters.get("max_time")) as progress:
        progress.say(f"reading {job.data}")
        sources = _read(job)
        progress.say("starting")
        with naming(job.data):
            model, interrupted = fit_model(
                job.parameters,
                sources.rows,
                progress,
                held_out=sources.held_out,
                target=sources.target,
                kind=job.kind,
                checkpoint=job.checkpoint,
                classes=None if job.label is None else classes_of(sources.rows, job.label),
            )
        progress.say("writing")
        if job.label is not None:
            model._state.facts["label"] = job.label
        model.save(job.output)
        if interrupted:
            sys.stderr.write(interrupted_text(job))
        if job.report is not None:
            _write_report(job, model, sources, job.report)
    return Result(model, sources.rows, interrupted)


def interrupted_text(job: FitJob) -> str:
    """Return the line that says what Ctrl-C has left."""
    reason = f"interrupted; {job.output} holds what was learned so far"
    if job.checkpoint is not None and job.checkpoint.exists():
        reason += f"; the same command with --force goes on from {job.checkpoint}"
    return f"autoencode: {reason}\n"


def require_outputs(job: FitJob) -> None:
    """Refuse files that could not be written, before any work is done.

    Raises
    ------
    DataError
        Naming the file.
    """
    require_writable(job.output, force=job.force)
    if job.report is not None:
        require_writable(job.report, force=job.force)
        if job.report.resolve() == job.output.resolve():
            raise DataError(f"{job.report} is to hold both model and report; name two files")
    if job.checkpoint is not None:
        require_writable(job.checkpoint, force=True)
        if job.checkpoint.resolve() in (job.output.resolve(), Path(job.data).resolve()):
            raise DataError(f"{job.checkpoint} is to hold a checkpoint alone; name another file")


def _read(job: FitJob) -> _Sources:
    columns = job.parameters.get("columns")
    wish = job.pictures
    rows = read_for_fit(
        job.data, drop=job.left_out, keep=job.carried, columns=columns, pictures=wish
    )
    held_out, target = (
        None if path is None else _read_more(path, job, rows) for path in (job.held_out, job.target)
    )
    if job.target is not None and target is not None:
        _require_pairs(job, rows, target)
    return _Sources(rows, held_out, target)


def _require_pairs(job: FitJob, rows: Rows, target: Rows) -> None:
    """Refuse pictures of which one has no counterpart by its name."""
    from autoencode.data.reading import pictures_of

    pictures, wanted = pictures_of(rows), pictures_of(target)
    if pictures is None or wanted is None:
        return
    alone = set(pictures.names) ^ set(wanted.names)
    if alone:
        name = min(alone)
        where, lacks = (job.data, job.target) if name in pictures.names else (job.target, job.data)
        raise DataError(
            f"{where} has {name!r}, but {lacks} has not: pictures go together by their names"
        )


def _read_more(path: str, job: FitJob, rows: Rows) -> Rows:
    """Read rows with the columns of those that are fitted."""
    from autoencode.data.reading import pictures_of
    from autoencode.opening import open_like
    from autoencode.preprocess.table_rows import TableRows

    wish: dict[str, Any] = {"drop": job.left_out, "keep": job.carried, "expected_names": rows.names}
    pictures = pictures_of(rows)
    if pictures is not None:
        wish["pictures"] = PictureWish(skip_bad=job.pictures.skip_bad, form=pictures.form)
    found = read_data(path, **wish)
    with naming(path):
        return open_like(found, rows.schema if isinstance(rows, TableRows) else None, rows.names)


def fit_model(
    parameters: Mapping[str, Any],
    rows: Rows,
    progress: Progress,
    *,
    held_out: Rows | None = None,
    target: Rows | None = None,
    kind: str = "autoencoder",
    checkpoint: Path | None = None,
    classes: Sequence[object] | None = None,
) -> tuple[Autoencoder, bool]:
    """Fit, showing progress; return the model and whether Ctrl-C ended the fit.

    Parameters
    ----------
    parameters : mapping
        Of the estimator.
    rows, held_out, target : Rows
        As ``Autoencoder.fit`` takes them.
    progress : Progress
        Where to say how far it is.
    kind : str
        One of `autoencode.presets.PRESETS`.
    checkpoint : Path or None
        Where the state of training is kept.
    classes : sequence or None
        The class of each row, for an estimator with ``conditional=True``.

    Raises
    ------
    KeyboardInterrupt
        If nothing was learned yet.
    """
    from autoencode import estimators
    from autoencode.planning import make_plan

    model: Autoencoder = getattr(estimators, PRESETS[kind].estimator)(**parameters)
    if progress.visible:
        sparse = isinstance(model, estimators.SparseAutoencoder)
        given = model._assigned(rows, None)[0] if sparse else model.get_params()
        everything = estimators.Autoencoder().get_params() | given
        plan = make_plan(everything, rows)
        progress.max_epochs = plan.max_epochs
        if len(rows.sample_shape) > 1:
            held = 0 if held_out is not None else round(plan.validation_fraction * rows.n_rows)
            progress.n_pictures = rows.n_rows - held
        model.set_params(verbose=progress)
    interrupted = False
    try:
        model.fit(rows, classes, target=target, X_held_out=held_out, checkpoint=checkpoint)
    except KeyboardInterrupt:
        if not hasattr(model, "n_components_"):
            raise
        interrupted = True
    return model.set_params(verbose=False), interrupted


def _write_report(job: FitJob, model: Autoencoder, sources: _Sources, path: Path) -> None:
    from autoencode.commands.noise_reporting import noise_report_data
    from autoencode.commands.reporting import report_data
    from autoencode.estimators import DenoisingAutoencoder
    from autoencode.report import write_report

    restores = isinstance(model, DenoisingAutoencoder) and bool(model._state.learned)
    collect = noise_report_data if restores else report_data
    shown = collect(
        model,
        sources.rows,
        held_out=sources.held_out,
        target=sources.target,
        title=Path(job.data).name,
        data_path=job.data,
        model_path=str(job.output),
    )
    write_report(path, shown, force=True)


def print_result(result: Result) -> None:
    """Write summary, columns and curve."""
    from autoencode.summary import describe_state, fitted_columns

    model = result.model
    restores = model.n_components is None
    print_text(describe_state(model._state, restores=restores))
    print_columns(fitted_columns(model._state), restores=restores)
    if not restores:  # what shorter codes would restore is of no use
        held_out = bool(model._state.facts["n_choose"])
        print_curve(curve_rows(model.curve_), model.n_components_, held_out=held_out)


def result_as_json(job: FitJob, result: Result) -> dict[str, Any]:
    """Return what was fitted and how good it is, for machines."""
    from autoencode.bounds_summary import known_bounds
    from autoencode.summary import fitted_columns, known_noise, known_units

    model, facts = result.model, result.model._state.facts
    curve = curve_rows(model.curve_)
    figures = next((row for row in curve if row["size"] == model.n_components_), {})
    noise = known_noise(facts, model._state.scaling.scale)
    units = known_units(facts, model._state.units, model.n_components_)
    bounds = known_bounds(facts)
    return {
        "model": str(job.output),
        "kind": job.kind,
        "report": None if job.report is None else str(job.report),
        "n_components": model.n_components_,
        "network": bool(model.gate_),
        "explained_variance": figures.get("explained_variance"),
        "pca_explained_variance": figures.get("pca_explained_variance"),
        "ratio": figures.get("ratio"),
        "stop_reason": model.stop_reason_,
        "interrupted": result.interrupted,
        **({} if noise is None else {"noise": noise}),
        **({} if units is None else {"units": units}),
        **({} if bounds is None else {"likelihood": bounds}),
        "seconds": facts["seconds"],
        "epochs": model.n_iter_,
        "n_features": model.n_features_in_,
        "columns": fitted_columns(model._state),
        "rows": {name: facts[name] for name in ("n_rows", "n_train", "n_choose", "n_claim")},
        "curve": curve,
    }
