"""What several commands ask for, and how the text of an option becomes a value."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from autoencode import kinds

__all__ = [
    "Aligned",
    "AsJson",
    "Columns",
    "Data",
    "Drop",
    "Fit",
    "Force",
    "Keep",
    "Missing",
    "Model",
    "Quiet",
    "Size",
    "SkipBad",
    "Table",
    "Trust",
    "parse_bounds",
    "parse_columns",
    "parse_components",
    "parse_hidden",
    "parse_number",
    "parse_size",
    "parse_whole",
]

Model = Annotated[
    Path, typer.Argument(help="A fitted model, or a folder of SAELens.", metavar="MODEL")
]
Data = Annotated[
    str, typer.Argument(help="Rows with the columns that the model knows.", metavar="DATA")
]
Table = Annotated[
    Path,
    typer.Option(
        "--output",
        "-o",
        help="Where to write; the suffix says how (.csv, .parquet, .feather, .npy, .npz); "
        "- is CSV on standard output. Of pictures also a folder.",
        metavar="FILE",
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Replace files that exist.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]
Drop = Annotated[
    list[str] | None, typer.Option(help="Leave out this column (repeatable).", metavar="COLUMN")
]
Keep = Annotated[
    list[str] | None,
    typer.Option(
        help="Carry this column along, such as an identifier or a label (repeatable).",
        metavar="COLUMN",
    ),
]
SkipBad = Annotated[
    bool,
    typer.Option("--skip-bad", help="Leave out pictures that cannot be read, and name them."),
]
Trust = Annotated[
    list[str] | None,
    typer.Option(
        help="Allow parts that the model names to be imported from here (repeatable).",
        metavar="PACKAGE",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead.")]
Aligned = Annotated[
    bool,
    typer.Option(
        "--aligned",
        help="Codes that say what a picture shows, and apart from that where.",
        rich_help_panel="With --kind convolutional",
    ),
]
Columns = Annotated[
    list[str] | None,
    typer.Option(
        "--column",
        help=f"What a column is, where looking at it is not enough (repeatable): "
        f"{', '.join(kinds.COLUMN_KINDS)}; with options as NAME=KIND:KEY=VALUE.",
        metavar="NAME=KIND",
    ),
]
Missing = Annotated[
    Literal["ignorable", "informative"],
    typer.Option(
        help="Whether a missing cell says nothing about what it would have been, given the "
        "others, or may (large incomes are not told): then this is learned too.",
    ),
]


def parse_size(text: str) -> tuple[int, int]:
    """Turn ``"48x64"`` into height and width, and ``"64"`` into a square."""
    sides = text.lower().replace("×", "x").split("x")
    if len(sides) > 2 or not all(side.strip().isdecimal() and int(side) for side in sides):
        raise typer.BadParameter(f"{text!r} should read like 48x64 (height, width) or 64")
    return int(sides[0]), int(sides[-1])


Size = Annotated[
    Any,
    typer.Option(
        "--size",
        parser=parse_size,
        help="Height and width of pictures; if not given the commonest, or medians.",
        metavar="HxW",
        rich_help_panel="Pictures",
    ),
]
Fit = Annotated[
    Literal["resize", "crop", "tile"] | None,
    typer.Option(
        "--fit",
        help="How pictures of other sizes get this one: stretched, cut at the longer sides, or "
        "cut into tiles; resize if not given.",
        rich_help_panel="Pictures",
    ),
]


def parse_columns(texts: list[str] | None) -> dict[str, str] | None:
    """Turn ``["zip=categorical"]`` into kinds by column name; None if there are none.

    A name may hold ``=`` too: what follows the right one begins with a kind.
    """
    found: dict[str, str] = {}
    for text in texts or ():
        places = [place for place, letter in enumerate(text) if letter == "="]
        known = [
            place
            for place in places
            if text[place + 1 :].partition(":")[0].strip() in kinds.COLUMN_KINDS
        ]
        if not places:
            raise typer.BadParameter(f"--column {text!r} should read NAME=KIND")
        place = (known or places)[0]
        name, kind = text[:place], text[place + 1 :].strip()
        if found.setdefault(name, kind) != kind:
            raise typer.BadParameter(f"--column names two kinds for {name!r}; choose one")
    return found or None


def parse_components(text: str) -> int | float | str | None:
    """Turn ``"16"`` into a length, ``"0.95"`` into a share of variance, ``"none"`` into None.

    ``"auto"`` stays.
    """
    if text == "none":
        return None
    if text == "auto":
        return text
    try:
        length = int(text)
    except ValueError:
        length = 0
    if length >= 1:
        return length
    try:
        share = float(text)
    except ValueError:
        share = 0.0
    if not 0 < share < 1:
        raise typer.BadParameter(
            f"{text!r} should be a whole number from 1, a share of variance between 0 and 1, "
            "none or auto"
        )
    return share


def parse_hidden(text: str) -> str | tuple[int, ...]:
    """Turn ``"512,256"`` into layer sizes and ``"none"`` into none; ``"auto"`` stays."""
    if text == "auto":
        return text
    if text == "none":
        return ()
    try:
        sizes = tuple(int(size) for size in text.split(","))
    except ValueError:
        sizes = (0,)
    if min(sizes) < 1:
        raise typer.BadParameter(f"{text!r} should read like 512,256, or be none or auto")
    return sizes


def parse_whole(text: str) -> str | int:
    """Turn text into a whole number from 1; ``"auto"`` stays."""
    if text == "auto":
        return text
    if not text.isdecimal() or int(text) < 1:
        raise typer.BadParameter(f"{text!r} should be a whole number from 1, or auto")
    return int(text)


def parse_number(text: str) -> str | float:
    """Turn text into a positive number; ``"auto"`` stays."""
    if text == "auto":
        return text
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise typer.BadParameter(f"{text!r} should be a positive number, or auto")
    return number


def parse_bounds(text: str | None, option: str) -> float | dict[str, float] | None:
    """Turn ``"1e-3"`` into a number and ``"price=0.01,temp=0.1"`` into numbers by name."""
    if text is None:
        return None
    if "=" not in text:
        return _bound(text, option)
    found = {}
    for part in text.split(","):
        name, equals, number = part.rpartition("=")
        if not equals or not name:
            raise typer.BadParameter(f"{option} {part!r} should read NAME=NUMBER")
        found[name] = _bound(number, option)
    return found


def _bound(text: str, option: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < float("inf"):
        raise typer.BadParameter(f"{option} {text!r} should be a number, at least 0")
    return number
