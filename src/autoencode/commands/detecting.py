"""``autoencode detect``."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from autoencode.commands.display import print_json
from autoencode.commands.files import naming, read_data, read_for_fit, require_writable
from autoencode.commands.models import header_of, require_output
from autoencode.commands.options import (
    AsJson,
    Columns,
    Drop,
    Force,
    Keep,
    Quiet,
    Table,
    parse_columns,
    parse_whole,
)
from autoencode.commands.progress import Progress
from autoencode.errors import DataError, ModelFileError

if TYPE_CHECKING:
    import pyarrow as pa

    from autoencode.anomaly_parts.conformal import Flags
    from autoencode.data.rows import Rows
    from autoencode.estimators import AnomalyDetector

__all__ = ["detect"]

_ADDED = ("anomaly", "p_value", "reason")
_LOOKED_AT = 2000


def _fitting(text: str, *names: str, **options: Any) -> Any:
    return typer.Option(*names, help=text, rich_help_panel="Without MODEL", **options)


First = Annotated[
    str | None,
    typer.Argument(
        help="A detector, of --save or fit --kind anomaly, if there is one.", metavar="MODEL"
    ),
]
Second = Annotated[str | None, typer.Argument(help="Rows to be judged. Required.", metavar="DATA")]
Rate = Annotated[
    float,
    typer.Option(help="Share of the flagged rows that may be normal, on average.", metavar="RATE"),
]
Explain = Annotated[
    bool, typer.Option("--explain", help="Give a reason for every row, not the flagged ones alone.")
]
Report = Annotated[
    Path | None, typer.Option(help="Write a report: one HTML page.", metavar="FILE.html")
]
Normal = Annotated[
    str | None,
    _fitting("Normal rows to fit to; without them, DATA itself is fitted to.", metavar="FILE"),
]
Save = Annotated[Path | None, _fitting("Keep the fitted detector in this file.", metavar="FILE")]
Split = Annotated[
    bool,
    _fitting("With --normal: calibrate by half of them, for a proven guarantee.", "--split"),
]
Epochs = Annotated[
    Any,
    _fitting(
        "Passes over the rows in training each network; about 400 steps if not given.",
        parser=parse_whole,
        metavar="N|auto",
    ),
]
Seed = Annotated[int | None, _fitting("The only source of randomness; 0 if not given.", min=0)]


def detect(
    first: First = None,
    second: Second = None,
    output: Table = Path("-"),
    fdr: Rate = 0.05,
    explain: Explain = False,
    report: Report = None,
    drop: Drop = None,
    keep: Keep = None,
    normal: Normal = None,
    split: Split = False,
    save: Save = None,
    column: Columns = None,
    max_epochs: Epochs = None,
    seed: Seed = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
    force: Force = False,
) -> None:
    """Find odd rows; write them all with anomaly, p_value and reason.

    Without MODEL a detector is fitted first: to normal rows (--normal), for p-values
    that hold, or to DATA itself, anomalies and all, for estimates. What was found is
    said on standard error, or as JSON on standard output.
    """
    model, data = (first, second) if second is not None else (None, first)
    if data is None:
        raise typer.BadParameter("name the rows: MODEL DATA, or DATA alone")
    if as_json and os.fspath(output) == "-":
        raise typer.BadParameter("--json needs -o FILE: standard output cannot hold both")
    given = (normal, save, column, max_epochs, seed, split or None)
    if model is not None and any(part is not None for part in given):
        raise typer.BadParameter(
            "--normal, --split, --save, --column, --max-epochs and --seed are for fitting, but "
            "MODEL is fitted; leave out either"
        )
    if normal is None and (split or max_epochs is not None):
        raise typer.BadParameter("--split and --max-epochs need --normal")
    _require_outputs(output, report, save, force=force)
    parameters = {
        "novelty": normal is not None,
        "calibration": "split" if split else "cross",
        "columns": parse_columns(column),
        "max_epochs": "auto" if max_epochs is None else max_epochs,
        "random_state": seed or 0,
    }
    with Progress(quiet=quiet, max_time=None) as progress:
        progress.say(f"reading {data}")
        if model is None:
            detector, rows = _fitted(data, normal, drop, keep, parameters, progress)
        else:
            detector, rows = _loaded(Path(model), data, drop, keep)
        progress.say("looking for anomalies")
        with naming(data):
            found = detector.flag(rows, fdr)
            reasons = _reasons(detector, rows, found, everything=explain)
        progress.say("writing")
        table = _judged(data, rows, found, reasons)
        from autoencode.data.writing import write_frame

        write_frame(output, table, kept=_kept(rows), force=force)
        if save is not None:
            detector.save(save)
        if report is not None:
            _write_report(report, detector, rows, found, reasons, data, model or save)
    _say(data, output, found, as_json=as_json)


def _require_outputs(output: Path, report: Path | None, save: Path | None, *, force: bool) -> None:
    require_output(output, force=force)
    files = [path for path in (output, report, save) if path is not None]
    for path in (report, save):
        if path is not None:
            require_writable(path, force=force)
    named = [path.resolve() for path in files if os.fspath(path) != "-"]
    if len(set(named)) < len(named):
        raise DataError(f"{named[0]} is to hold two things; name different files")


def _fitted(
    data: str,
    normal: str | None,
    drop: Sequence[str] | None,
    keep: Sequence[str] | None,
    parameters: Mapping[str, Any],
    progress: Progress,
) -> tuple[AnomalyDetector, Rows]:
    source = data if normal is None else normal
    rows = read_for_fit(source, drop=drop, keep=keep, columns=parameters["columns"])
    from autoencode.estimators import AnomalyDetector

    detector = AnomalyDetector(**parameters)
    progress.say(f"fitting to {source}")
    with naming(source):
        detector.fit(rows)
    return detector, rows if normal is None else _like(detector, data, drop, keep)


def _loaded(
    model: Path, data: str, drop: Sequence[str] | None, keep: Sequence[str] | None
) -> tuple[AnomalyDetector, Rows]:
    (estimator,) = header_of(model, "estimator")
    if estimator != "AnomalyDetector":
        raise ModelFileError(
            f"{model} is a {estimator}, not a detector: fit one with autoencode fit --kind anomaly"
        )
    from autoencode.loading import load

    detector: AnomalyDetector = load(model)
    return detector, _like(detector, data, drop, keep)


def _like(
    detector: AnomalyDetector, data: str, drop: Sequence[str] | None, keep: Sequence[str] | None
) -> Rows:
    """Read rows under the schema of a fit."""
    names = getattr(detector, "feature_names_in_", None)
    expected = None if names is None else tuple(str(name) for name in names)
    found = read_data(data, drop=drop, keep=keep, expected_names=expected)
    from autoencode.opening import open_like

    with naming(data):
        return open_like(found, detector._detector.schema, expected)


def _reasons(detector: AnomalyDetector, rows: Rows, found: Flags, *, everything: bool) -> list[str]:
    """Return a reason for each row that is to have one; others have an empty text."""
    import numpy as np

    from autoencode.preprocess.table_rows import TableRows

    places = np.arange(rows.n_rows) if everything else np.flatnonzero(found.flags)
    texts = [""] * rows.n_rows
    for start in range(0, len(places), _LOOKED_AT):
        few = places[start : start + _LOOKED_AT]
        some: Any = rows.take(few).reshape(len(few), *rows.sample_shape)
        if isinstance(rows, TableRows):
            some = rows.table.take(few)
        elif rows.names is not None:
            import pyarrow as pa

            some = pa.table(dict(zip(rows.names, some.T, strict=True)))
        for place, text in zip(few, detector.reasons(some), strict=True):
            texts[place] = text
    return texts


def _kept(rows: Rows) -> pa.Table | None:
    """Return the columns that are carried along, but for those that stand in the table too."""
    from autoencode.preprocess.table_rows import TableRows

    if rows.kept is None or not isinstance(rows, TableRows):
        return rows.kept
    own = [name for name in rows.kept.column_names if name not in rows.table.column_names]
    return rows.kept.select(own) if own else None


def _judged(data: str, rows: Rows, found: Flags, reasons: list[str]) -> pa.Table:
    """Return the rows with what was found of each."""
    import pyarrow as pa

    from autoencode.data.tables import column_array, text_array
    from autoencode.preprocess.table_rows import TableRows

    if isinstance(rows, TableRows):
        table = rows.table
    else:
        names = rows.names or [f"x{place}" for place in range(rows.n_features)]
        values = rows.dense().reshape(rows.n_rows, -1)
        table = pa.table(
            {name: column_array(values[:, place].copy()) for place, name in enumerate(names)}
        )
    names = [*table.column_names, *(rows.kept.column_names if rows.kept is not None else ())]
    taken = [name for name in _ADDED if name in names]
    if taken:
        raise DataError(f"{data} has a column {taken[0]!r} already; --drop it, or rename it")
    columns = (column_array(found.flags), column_array(found.p_values), text_array(reasons))
    for name, column in zip(_ADDED, columns, strict=True):
        table = table.append_column(name, column)
    return table


def _say(data: str, output: Path, found: Flags, *, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "output": str(output),
                "rows": len(found.flags),
                "flagged": int(found.flags.sum()),
                "fdr": found.fdr,
                "threshold": found.threshold,
                "normal_share": found.normal_share,
                "calibration_rows": found.n_calibration,
                "guarantee": found.guarantee,
                "advice": found.advice,
            }
        )
        return
    sys.stderr.write(f"autoencode: {data}: {found}\n")


def _write_report(
    path: Path,
    detector: AnomalyDetector,
    rows: Rows,
    found: Flags,
    reasons: list[str],
    data: str,
    model: str | Path | None,
) -> None:
    import numpy as np

    from autoencode.report import AnomalyReportData, write_report

    scores = -detector.score_samples(rows)
    flagged = [int(place) for place in np.argsort(-scores, kind="stable") if found.flags[place]]
    facts = detector._detector.facts
    shown = AnomalyReportData(
        title=Path(data).name,
        sentence=f"{found}.",
        facts={
            "data": data,
            "rows of the fit": str(facts["n_rows"]),
            "fitted to": f"{facts['situation']} rows",
            "evidence": ", ".join(facts["kinds"]),
            "calibration rows": str(facts["n_calibration"]),
        },
        history={},
        loading=_loading(data, model, found.fdr),
        scores=scores,
        p_values=found.p_values,
        flags=found.flags,
        flagged=flagged,
        reasons=[reasons[place] for place in flagged],
        calibration=detector._detector.calibration.scores,
        fdr=found.fdr,
        normal_share=found.normal_share,
        guarantee=found.guarantee,
    )
    write_report(path, shown, force=True)


def _loading(data: str, model: str | Path | None, fdr: float) -> str:
    """Return the Python that judges rows again; nothing if the detector was not kept."""
    if model is None:
        return ""
    return (
        f"import autoencode\n\nmodel = autoencode.load({os.path.basename(model)!r})\n"
        f"found = model.flag({Path(data).name!r}, fdr={fdr!r})\n"
    )
