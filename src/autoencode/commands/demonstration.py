"""``autoencode demo``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from autoencode.commands.display import print_text
from autoencode.commands.files import require_writable
from autoencode.commands.fit_job import FitJob, Result, fit_and_write, print_result
from autoencode.commands.options import Force, Quiet
from autoencode.errors import DataError

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["demo"]

_FILES = ("digits.npy", "digits.safetensors", "report.html", "codes.csv")


def demo(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="A folder; made if missing.", metavar="FOLDER")
    ] = Path("demo"),
    max_epochs: Annotated[
        int, typer.Option(help="Passes over the data in the longest phase.", min=1)
    ] = 60,
    quiet: Quiet = False,
    force: Force = False,
) -> None:
    """Fit 1,797 small pictures of digits: model, codes and report in one folder.

    Takes less than a minute.
    """
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"cannot make the folder {output}: {error.strerror}") from error
    data, model, report, codes = (output / name for name in _FILES)
    for path in (data, model, report, codes):
        require_writable(path, force=force)
    labels = _write_digits(data)
    parameters = {"n_components": 0.9, "max_epochs": max_epochs, "random_state": 0}
    job = FitJob(str(data), model, report, parameters=parameters, quiet=quiet, force=force)
    result = fit_and_write(job)
    _write_codes(codes, result, labels)
    print_result(result)
    print_text(
        f"look at    {report}\n"
        f"codes      {codes}\n"
        f"pictures   {data}\n"
        f"model      {model}; what it is: autoencode inspect {model}"
    )
    if result.interrupted:
        raise typer.Exit(130)


def _write_digits(path: Path) -> npt.NDArray[Any]:
    """Write the pictures and return which digit each of them is."""
    from sklearn.datasets import load_digits

    from autoencode.data.writing import write_array

    digits = load_digits()
    write_array(path, digits.images.astype("uint8"), force=True)
    labels: npt.NDArray[Any] = digits.target
    return labels


def _write_codes(path: Path, result: Result, labels: npt.NDArray[Any]) -> None:
    """Write codes beside the digits, so that they can be told apart in a plot."""
    import pyarrow as pa

    from autoencode.data.tables import column_array
    from autoencode.data.writing import write_table

    names = [str(name) for name in result.model.get_feature_names_out()]
    kept = pa.table({"digit": column_array(labels)})
    write_table(path, (names, result.model.transform(result.rows)), kept=kept, force=True)
