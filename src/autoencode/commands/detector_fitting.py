"""``autoencode fit --kind anomaly``: a detector, for ``autoencode detect``."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from autoencode.commands.display import print_json
from autoencode.commands.files import naming, read_for_fit, require_writable
from autoencode.commands.options import parse_columns
from autoencode.commands.progress import Progress
from autoencode.data.picture_wish import PictureWish

if TYPE_CHECKING:
    from autoencode.estimators import AnomalyDetector

__all__ = [
    "AllNormal",
    "DetectorJob",
    "Split",
    "fit_detector_file",
]

_TAKEN = (
    *("data", "output", "kind", "drop", "keep", "column", "max_epochs", "seed"),
    *("normal", "split", "size", "fitting", "skip_bad", "as_json", "quiet", "force"),
)
"""Arguments of ``fit`` that a detector takes."""

_INSTEAD = {"report": "autoencode detect MODEL DATA --report writes one, of rows that are judged"}


AllNormal = Annotated[
    bool,
    typer.Option(
        "--normal",
        help="All rows are normal, and calibrate p-values; without it some may be odd, and "
        "p-values are estimates.",
        rich_help_panel="With --kind anomaly",
    ),
]
Split = Annotated[
    bool,
    typer.Option(
        "--split",
        help="With --normal: calibrate by half of the rows, for a proven guarantee.",
        rich_help_panel="With --kind anomaly",
    ),
]


@dataclass(frozen=True)
class DetectorJob:
    """One fit of a detector from a file to a file.

    Attributes
    ----------
    data : str
        File of rows.
    output : Path
        Where the detector goes.
    left_out, carried : sequence of str
        Columns that are not used.
    parameters : mapping
        Of `AnomalyDetector`.
    pictures : PictureWish
        How files of pictures are to be read.
    quiet, force : bool
        No progress; replace the file.
    """

    data: str
    output: Path
    left_out: Sequence[str]
    carried: Sequence[str]
    parameters: Mapping[str, Any]
    pictures: PictureWish
    quiet: bool
    force: bool

    @classmethod
    def of(cls, given: Mapping[str, Any], defaults: Mapping[str, Any]) -> DetectorJob:
        """Return what the arguments of ``fit`` ask for.

        Parameters
        ----------
        given, defaults : mapping
            Of every argument of ``fit``, its value and what it is if it is not given.

        Raises
        ------
        typer.BadParameter
            Naming an option that a detector does not have.
        """
        _require_options(given, defaults)
        parameters = {
            "novelty": given["normal"],
            "calibration": "split" if given["split"] else "cross",
            "columns": parse_columns(given["column"]),
            "max_epochs": given["max_epochs"],
            "random_state": given["seed"],
        }
        wish = PictureWish(given["size"], given["fitting"], given["skip_bad"])
        left_out, carried = given["drop"] or (), given["keep"] or ()
        ends = given["quiet"], given["force"]
        return cls(given["data"], given["output"], left_out, carried, parameters, wish, *ends)


def _require_options(given: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
    for name, value in given.items():
        if name not in _TAKEN and value != defaults[name]:
            option = "--" + name.replace("_", "-")
            instead = _INSTEAD.get(name, "leave it out")
            raise typer.BadParameter(f"{option} does not go with --kind anomaly: {instead}")
    if given["split"] and not given["normal"]:
        raise typer.BadParameter("--split needs --normal: it calibrates by half of the normal rows")
    if not given["normal"] and given["max_epochs"] != defaults["max_epochs"]:
        raise typer.BadParameter("--max-epochs needs --normal: without it no network is trained")


def fit_detector_file(job: DetectorJob, *, as_json: bool) -> None:
    """Fit a detector, write it, and say what its p-values are worth."""
    require_writable(job.output, force=job.force)
    with Progress(quiet=job.quiet, max_time=None) as progress:
        progress.say(f"reading {job.data}")
        rows = read_for_fit(
            job.data,
            drop=job.left_out,
            keep=job.carried,
            columns=job.parameters["columns"],
            pictures=job.pictures,
        )
        from autoencode.estimators import AnomalyDetector

        progress.say(f"fitting to {job.data}")
        detector = AnomalyDetector(**job.parameters)
        with naming(job.data):
            detector.fit(rows)
        detector.save(job.output)
    _say(job, detector, as_json=as_json)


def _say(job: DetectorJob, detector: AnomalyDetector, *, as_json: bool) -> None:
    facts = detector._detector.facts
    if as_json:
        print_json(
            {
                "model": str(job.output),
                "kind": "anomaly",
                "rows": facts["n_rows"],
                "situation": facts["situation"],
                "calibration_rows": detector.n_calibration_,
                "guarantee": detector.guarantee_,
                "n_features": detector.n_features_in_,
            }
        )
        return
    sys.stderr.write(
        f"autoencode: {job.output}: fitted to {facts['n_rows']} rows, calibrated by "
        f"{detector.n_calibration_}; guarantee: {detector.guarantee_}\n"
    )
