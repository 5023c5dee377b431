"""``autoencode sample``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from autoencode.commands.models import load_model, write_rows
from autoencode.commands.options import Force, Model, Table, Trust
from autoencode.commands.picture_folders import folder_form

if TYPE_CHECKING:
    from autoencode.estimators import Autoencoder

__all__ = ["label_of", "sample"]

Count = Annotated[int, typer.Option("--count", "-n", help="New rows.", metavar="N", min=1)]
Given = Annotated[
    list[str] | None,
    typer.Option(
        help="A cell that every row is to have (repeatable); rows are drawn, and chosen by how "
        "likely it is in them.",
        metavar="COLUMN=VALUE",
    ),
]
Class = Annotated[
    str | None,
    typer.Option(
        "--class",
        help="Draw rows of this class, for a model that was fitted with classes; without it they "
        "are drawn by their shares. They are written as the first column.",
        metavar="CLASS",
    ),
]
Seed = Annotated[int, typer.Option(help="The only source of randomness.", min=0)]


def sample(
    model: Model,
    count: Count,
    output: Table = Path("-"),
    given: Given = None,
    label: Class = None,
    seed: Seed = 0,
    trust: Trust = None,
    force: Force = False,
) -> None:
    """Draw new rows from a model.

    Every column is spread as it was in the rows of the fit; categories are drawn by their
    chances, and nothing lies outside the range that was observed. Models of files of
    pictures write files, if FILE is a folder.
    """
    form = folder_form(output, model, force=force)
    fitted = load_model(model, trust, decodes=True)
    cells = _given(fitted, given)
    y = None if label is None else _class(fitted, label)
    found, effective = fitted._sampled(count, y, cells, seed, "auto")
    if effective is not None:
        sys.stderr.write(f"chosen from {effective:.0f} independent rows\n")
    kept = None
    if isinstance(found, tuple):
        import pyarrow as pa

        found, classes = found
        kept = pa.table({label_of(fitted): pa.array(classes.tolist())})
    if form is not None:
        from autoencode.data.picture_writing import numbered_names, write_pictures

        write_pictures(output, numbered_names(count), form.rounded(found), force=force)
        return
    names = getattr(fitted, "feature_names_in_", None)
    write_rows(
        output,
        found,
        kept,
        names=None if names is None else [str(name) for name in names],
        schema=fitted._state.schema,
        force=force,
    )


def _given(fitted: Autoencoder, texts: list[str] | None) -> dict[Any, Any] | None:
    """Turn ``["size=2"]`` into cells by column; a name may hold ``=`` too."""
    schema = fitted._state.schema
    found: dict[Any, Any] = {}
    for text in texts or ():
        places = [place for place, letter in enumerate(text) if letter == "="]
        if not places:
            raise typer.BadParameter(f"--given {text!r} should read COLUMN=VALUE")
        known = [p for p in places if schema is not None and text[:p] in schema.names]
        place = (known or places)[0]
        name: Any = text[:place]
        if schema is None:
            name = int(name.removeprefix("x")) if name.removeprefix("x").isdecimal() else name
        found[name] = text[place + 1 :]
    return found or None


def label_of(fitted: Autoencoder) -> str:
    """Return the name of the column of classes: its own, or one that no other column has."""
    schema = fitted._state.schema
    name = str(fitted._state.facts.get("label", "class"))
    while schema is not None and name in schema.names:
        name += "_"
    return name


def _class(fitted: Autoencoder, text: str) -> Any:
    """Return the class that a text stands for."""
    sampler = fitted._require_sampler()
    known = {str(label): label for label in sampler.labels or ()}
    return known.get(text, text)
