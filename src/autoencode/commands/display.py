"""Results on standard output: tables for people, JSON for machines."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from typing import Any

__all__ = ["curve_rows", "print_curve", "print_fields", "print_json", "print_text"]


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


def print_curve(rows: list[dict[str, Any]], chosen: int) -> None:
    """Write the curve as a table of at most about 16 sizes.

    Parameters
    ----------
    rows : list of dict
        As from `curve_rows`.
    chosen : int
        The size that is marked.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from autoencode.summary import shown_sizes

    shown = Table(box=box.SIMPLE_HEAD)
    for heading in ("", "size", "held-out variance explained", "PCA's", "error / PCA's"):
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


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
