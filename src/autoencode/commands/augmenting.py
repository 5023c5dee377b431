"""``autoencode augment``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from autoencode.commands.files import classes_of, naming
from autoencode.commands.models import load_with_rows, write_rows
from autoencode.commands.options import Data, Drop, Force, Keep, Model, Table, Trust
from autoencode.commands.picture_folders import folder_form, varied_names
from autoencode.errors import DataError

if TYPE_CHECKING:
    from autoencode.data.rows import Rows
    from autoencode.estimators import Autoencoder

__all__ = ["augment"]

Count = Annotated[
    int, typer.Option("--count", "-n", help="New rows for each given one.", metavar="N", min=1)
]
Label = Annotated[
    str | None,
    typer.Option(
        help="The column of DATA with each row's class, which the model was not fitted to; it is "
        "written too.",
        metavar="COLUMN",
    ),
]
Kind = Annotated[
    Literal["auto", "restore", "differences", "interpolate"],
    typer.Option(
        help="Corrupt rows and restore them; or, with --label, move them by the difference of two "
        "rows of one class, or towards a near row of their own. auto is differences with "
        "--label, else restore."
    ),
]
Strength = Annotated[
    float | None,
    typer.Option(
        help="Share of cells to hide, or deviation of the noise (restore), of the difference, or "
        "at most of the way; by kind if not given.",
        metavar="S",
    ),
]
Seed = Annotated[int, typer.Option(help="The only source of randomness.", min=0)]


def augment(
    model: Model,
    data: Data,
    count: Count,
    output: Table = Path("-"),
    label: Label = None,
    kind: Kind = "auto",
    strength: Strength = None,
    seed: Seed = 0,
    drop: Drop = None,
    keep: Keep = None,
    trust: Trust = None,
    force: Force = False,
) -> None:
    """Draw new rows that are variants of given ones.

    Columns that are kept come first, as they are in the row that was varied. The
    output holds new rows only: one variant of every row, then the next. Pictures of
    files are written as files if FILE is a folder.
    """
    if label is None and kind in ("differences", "interpolate"):
        raise typer.BadParameter(f"--kind {kind} needs --label, the column with the classes")
    form = folder_form(output, model, force=force)
    if form is not None and form.fit == "tile":
        raise DataError(f"{output}: {model} knows tiles, not whole pictures; write .npy")
    kept = [*(keep or ()), *([label] if label is not None and label not in (keep or ()) else [])]
    fitted, rows = load_with_rows(model, data, drop=drop, keep=kept, trust=trust, decodes=True)
    labels = None if label is None else classes_of(rows, label)
    options: dict[str, Any] = {"kind": kind, "strength": strength, "random_state": seed}
    if form is not None:
        from autoencode.data.picture_writing import write_pictures

        with naming(data):
            parts = _parts(fitted, rows, count, labels, options)
            pictures = (form.rounded(picture) for part in parts for picture in part)
            write_pictures(output, varied_names(rows, count), pictures, force=force)
        return
    with naming(data):
        found = fitted.augment(rows, count, labels, **options)
    import pyarrow as pa

    names = getattr(fitted, "feature_names_in_", None)
    write_rows(
        output,
        found if labels is None else found[0],
        None if rows.kept is None else pa.concat_tables([rows.kept] * count),
        names=None if names is None else [str(name) for name in names],
        schema=fitted._state.schema,
        force=force,
    )


def _parts(
    fitted: Autoencoder,
    rows: Rows,
    count: int,
    labels: Any,
    options: Mapping[str, Any],
) -> Iterator[Any]:
    """Yield what `Autoencoder.augment` returns of pictures, a few of them at a time."""
    from autoencode.augmentation import choose, require_classes, variants

    choice = choose(n=count, labelled=labels is not None, **options)
    known = None if labels is None else require_classes(labels, rows.n_rows)
    given = fitted._check(rows)
    for values in variants(fitted._state, given, known, choice, fitted._piece()):
        yield fitted._plausible(values, given, choice.seed)
