"""What the first layer of a network of pictures looks for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from autoencode.report_parts.markup import text
from autoencode.report_parts.pictures import mosaic

__all__ = ["Filters", "filters_section"]

_ACROSS = 8


@dataclass(frozen=True, kw_only=True)
class Filters:
    """The weights of the first layer that are shown.

    Parameters
    ----------
    weights : array of shape (f, d)
        Of each filter, f > 0; those with the largest weights first.
    shape : tuple of int
        Height, width and channels of a filter: d in all.
    n_filters : int
        How many there are in all.
    convolves : bool
        Whether they slide over a picture, or are as large as it.
    """

    weights: np.ndarray
    shape: tuple[int, int, int]
    n_filters: int
    convolves: bool


def filters_section(filters: Filters) -> str:
    """Show filters side by side, each on a scale of its own, with zero as grey."""
    count, (height, width, _) = len(filters.weights), filters.shape
    largest = np.abs(filters.weights).max(axis=1, keepdims=True)
    scaled = filters.weights / np.where(largest > 0, largest, 1.0)
    shown = f"{count:,}" if count == filters.n_filters else f"{count:,} of {filters.n_filters:,}"
    what = f"convolutions of {height} x {width} pixels"
    if not filters.convolves:
        what = "units, whose weights are as large as a picture"
    lead = (
        f"<p>The first layer has {text(what)}; {shown} are shown, those with the largest "
        "weights first. Grey is zero, white counts in favour, black against.</p>"
    )
    picture = mosaic(scaled, filters.shape, (-1.0, 1.0), across=_ACROSS)
    words = f"{count} filters of the first layer"
    return f'{lead}<div class="card"><img class="sheet" src="{picture}" alt="{text(words)}"></div>'
