"""From a fitted sparse model and its codes to what a report shows of its parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from autoencode.commands.companions import companions
from autoencode.preprocess.column_kinds.categorical import Categorical
from autoencode.report_parts.units import Units
from autoencode.summary import known_units

if TYPE_CHECKING:
    from autoencode.estimators import Autoencoder, SparseAutoencoder

__all__ = ["dense_codes", "units_of", "units_sentence"]

_MOST_UNITS = 24
_MOST_ROWS = 3

Array = npt.NDArray[Any]


def dense_codes(codes: Any) -> Array:
    """Return codes as an array, whatever ``set_output`` or ``sparse_output`` asked for."""
    return np.asarray(codes.toarray() if hasattr(codes, "toarray") else codes)


def units_of(
    model: Autoencoder,
    codes: Array,
    row_numbers: Array,
    rows: Array | None,
    shape: Any,
    kept: pa.Table | None = None,
) -> Units | None:
    """Return the parts that a report shows; None for models without parts.

    Parameters
    ----------
    model : Autoencoder
        Fitted.
    codes : array of shape (r, n_components)
        Of the rows that are shown.
    row_numbers : array of shape (r,)
        Where those stand in the data.
    rows : array of shape (r, d) or None
        The rows themselves if they are pictures.
    shape : tuple of int or None
        Height, width and channels of a picture.
    kept : pyarrow.Table or None
        Columns of all rows that were carried along, not fitted.
    """
    state = model._state
    known = known_units(state.facts, state.units, state.n_components)
    frequency = state.units.get("frequency")
    if known is None or frequency is None:
        return None
    sparse: SparseAutoencoder = model
    order = np.argsort(-frequency, kind="stable")[:_MOST_UNITS]
    if frequency[order[0]] > 0:
        order = order[frequency[order] > 0]
    stability = state.units.get("stability")
    strength = _strength(codes[:, order])
    sizes = sparse.components_[order] * strength[:, None] / state.scaling.scale
    named = state.schema is None
    return Units(
        numbers=order,
        n_components=state.n_components,
        n_active=float(known["n_active"]),
        n_dead=int(known["dead"]),
        stable_share=known["stable"],
        frequency=frequency[order],
        stability=None if stability is None else stability[order],
        additions=sizes * state.scaling.scale if named else sizes,
        sizes=sizes,
        unit="in the data's units" if named else "in deviations",
        names=_names(model),
        tops=tuple(_top(codes[:, number]) for number in order),
        row_numbers=row_numbers,
        rows=rows,
        shape=shape,
        companions=companions(codes[:, order], None if kept is None else kept.take(row_numbers)),
    )


def units_sentence(model: Autoencoder, measured: str) -> str | None:
    """Say what a sparse model does and how good it is; None for other models.

    Parameters
    ----------
    model : Autoencoder
        Fitted.
    measured : str
        On what rows.
    """
    facts = model._state.facts
    if facts.get("n_active") is None:
        return None
    explained = float(model.curve_["explained_variance"][-1])
    pca = float(model.curve_["pca_explained_variance"][-1])
    return (
        f"A sparse autoencoder makes each row of {model.n_features_in_} columns of "
        f"{facts['n_active']:.3g} of {model.n_components_} parts on average, and keeps "
        f"{explained:.2%} of the variance of {measured}; PCA with as many components as a row "
        f"has parts keeps {pca:.2%}."
    )


def _strength(codes: Array) -> npt.NDArray[np.float64]:
    """Return the mean code of the rows that have each part; 1 where none has it."""
    active = (codes > 0).sum(0)
    total = np.where(codes > 0, codes, 0.0).sum(0, dtype=np.float64)
    return np.where(active > 0, total / np.maximum(active, 1), 1.0)


def _top(column: Array) -> tuple[int, ...]:
    """Return the places of the largest codes that are not zero."""
    order = np.argsort(-column, kind="stable")[:_MOST_ROWS]
    return tuple(int(place) for place in order if column[place] > 0)


def _names(model: Autoencoder) -> tuple[str, ...]:
    """Name each value that a row is spread into."""
    schema = model._state.schema
    if schema is None:
        names: Sequence[Any] = getattr(
            model, "feature_names_in_", [f"column {k}" for k in range(model.n_features_in_)]
        )
        return tuple(str(name) for name in names)
    found: list[str] = []
    for segment in schema.segments:
        name, block = schema.names[segment.column], schema.blocks[segment.column]
        width = segment.stop - segment.start
        levels = [str(place + 1) for place in range(width)]
        if isinstance(block, Categorical) and not (block.base or block.rare):
            levels = [
                str(level) for level in block.levels.take(np.arange(float(width))).to_pylist()
            ]
        found += [name] if width == 1 else [f"{name}: {level}" for level in levels]
    return tuple(found)
