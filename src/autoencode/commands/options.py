"""What several commands ask for, and how the text of an option becomes a value."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = [
    "AsJson",
    "Drop",
    "Force",
    "Keep",
    "Model",
    "Quiet",
    "Table",
    "Trust",
    "parse_components",
    "parse_hidden",
    "parse_number",
    "parse_whole",
]

Model = Annotated[Path, typer.Argument(help="A fitted model.", metavar="MODEL")]
Table = Annotated[
    Path,
    typer.Option(
        "--output",
        "-o",
        help="Where to write; the suffix says how (.csv, .parquet, .feather, .npy, .npz); "
        "- is CSV on standard output.",
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
        help="Carry this column along, such as an identifier (repeatable).", metavar="COLUMN"
    ),
]
Trust = Annotated[
    list[str] | None,
    typer.Option(
        help="Allow parts that the model names to be imported from here (repeatable).",
        metavar="PACKAGE",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead.")]


def parse_components(text: str) -> int | float:
    """Turn ``"16"`` into a length and ``"0.95"`` into a share of variance."""
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
            f"{text!r} should be a whole number from 1, or a share of variance between 0 and 1"
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
