"""Results on standard output: tables for people, JSON for machines."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from typing import Any

__all__ = [
    "curve_rows",
    "print_columns",
    "print_curve",
    "print_fields",
    "print_json",
    "print_text",
]


_NAME_WIDTH = 18


def print_text(text: str) -> None:
    """Write text and a line end."""
    sys.stdout.write(f"{text}\n")


def print_json(value: dict[str, Any]) -> None:
    """Write one JSON object; numbers that are not finite become null."""
    print_text(json.dumps(_finite(value), indent=2, ensure_ascii=False, allow_nan=False))


def print_fields(fields: dict[str, str]) -> None:
    """Write one line for each field that has a value, names aligned."""
    width = max(map(len, fields))
    print_text("\n".join(f"{name:<{width}}  {value}" for name, value in fields.items() if value))


def curve_rows(curve: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return one row for each size of a curve, with the ratio of errors.

    Parameters
    ----------
    curve : mapping of str to array
        As the estimator's ``curve_``.

    Returns
    -------
    list of dict
        Plain values, as JSON holds them.
    """
    from autoencode.summary import curve_table

    return [
        row | {"size": int(row["size"]), "network": bool(row["network"])}
        for row in curve_table(dict(curve))
    ]


def print_curve(rows: list[dict[str, Any]], chosen: int, *, held_out: bool) -> None:
    """Write the curve as a table of at most about 16 sizes.

    Parameters
    ----------
    rows : list of dict
        As from `curve_rows`.
    chosen : int
        The size that is marked.
    held_out : bool
        Whether it is of rows that were held out.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from autoencode.summary import shown_sizes

    shown = Table(box=box.SIMPLE_HEAD, collapse_padding=True, pad_edge=False)
    explained = f"{'held-out' if held_out else 'training'} variance explained"
    for heading in ("", "size", explained, "PCA's", "error / PCA's"):
        shown.add_column(heading, justify="right")
    for row in (rows[place] for place in shown_sizes([row["size"] for row in rows], chosen)):
        marked = row["size"] == chosen
        shown.add_row(
            "->" if marked else "",
            str(row["size"]),
            f"{row['explained_variance']:.2%}",
            f"{row['pca_explained_variance']:.2%}",
            f"{row['ratio']:.3f}",
            style="bold" if marked else None,
        )
    Console(file=sys.stdout, highlight=False).print(shown)


def print_columns(rows: list[dict[str, Any]], *, restores: bool) -> None:
    """Write what the columns of a table are and how well they come back, the worst of many.

    Parameters
    ----------
    rows : list of dict
        As from `autoencode.summary.column_rows`; without any, nothing is written.
    restores : bool
        Whether they were measured by how hidden cells are restored.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from autoencode.summary import worst_columns

    worst, more = worst_columns(rows)
    if not worst:
        return
    shown = Table(box=box.SIMPLE_HEAD, collapse_padding=True, pad_edge=False)
    longest = max(len(row["name"]) for row in worst)
    shown.add_column("column", overflow="fold", min_width=min(longest, _NAME_WIDTH))
    shown.add_column("kind", overflow="fold", min_width=12)
    quality = "cells\nrestored" if restores else "held-out\nquality"
    for heading in ("missing", quality, "majority", "share of\nerror"):
        shown.add_column(heading, justify="right", no_wrap=True)
    for row in worst:
        shares = [_percent(row[name]) for name in ("baseline", "error_share")]
        shown.add_row(
            Text(row["name"]),
            Text(row["detail"]),
            _percent(row["missing_share"]) if row["missing"] else "",
            _quality(row),
            shares[0] if row["measure"] == "accuracy" else "",
            shares[1],
        )
    if more:
        shown.caption = f"The {len(worst)} that come back worst; {more} more with --json."
    Console(file=sys.stdout, highlight=False).print(shown)


def _quality(row: Mapping[str, Any]) -> str:
    """Say how well one column comes back, by what suits it."""
    if row["quality"] is None:
        return ""
    if row["measure"] == "accuracy":
        return f"{_percent(row['quality'])} right"
    return f"R² {row['quality']:.3f}"


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.1%}"


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
