"""A sparse autoencoder as its arrays, whatever made it and wherever it is stored."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from autoencode.errors import SpecError

__all__ = ["KINDS", "Dictionary", "FloatArray", "as_float32", "fold_scaler"]

FloatArray = npt.NDArray[np.float32]
KINDS = ("topk", "batchtopk", "jumprelu", "relu")
_WITH_THRESHOLD = ("batchtopk", "jumprelu")


@dataclass(frozen=True, eq=False)
class Dictionary:
    """The arrays of a sparse autoencoder, in float32.

    With a row ``x`` of ``n_values`` values::

        pre  = encoder_weight @ (x - centre) + encoder_bias
        code = pre where it is positive and chosen, else 0
        row  = code @ parts + bias

    ``topk`` chooses the ``n_active`` largest of a row. ``batchtopk`` chose the
    ``n_active`` times batch size largest of a batch while it was trained; in use it and
    ``jumprelu`` choose what is above the component's ``threshold``. ``relu`` chooses
    everything.

    Parameters
    ----------
    kind : {"topk", "batchtopk", "jumprelu", "relu"}
        How codes are chosen.
    encoder_weight : array of shape (n_components, n_values)
    encoder_bias : array of shape (n_components,)
    parts : array of shape (n_components, n_values)
        Of any length.
    bias : array of shape (n_values,)
        The row that an empty code stands for.
    centre : array of shape (n_values,)
        Subtracted from a row first. It is not folded into ``encoder_bias``, because
        in float32 that loses digits where rows are far from zero.
    n_active : int, float or None
        ``topk``: an integer. ``batchtopk``: a row's mean, or None if it is not known.
        None for others.
    threshold : array of shape (n_components,) or None
        Not negative, for ``batchtopk`` and ``jumprelu``; None for others.

    Raises
    ------
    SpecError
        If the arrays are not float32, finite and of these shapes, or do not suit the
        kind.
    """

    kind: str
    encoder_weight: FloatArray
    encoder_bias: FloatArray
    parts: FloatArray
    bias: FloatArray
    centre: FloatArray
    n_active: float | None = None
    threshold: FloatArray | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise SpecError(f"kind={self.kind!r} is unknown; allowed: {', '.join(KINDS)}")
        if np.ndim(self.parts) != 2 or 0 in np.shape(self.parts):
            raise SpecError(
                f"parts has shape {np.shape(self.parts)}; it must be (n_components, n_values)"
            )
        n_components, n_values = self.parts.shape
        _require_array("encoder_weight", self.encoder_weight, (n_components, n_values))
        _require_array("encoder_bias", self.encoder_bias, (n_components,))
        _require_array("parts", self.parts, (n_components, n_values))
        _require_array("bias", self.bias, (n_values,))
        _require_array("centre", self.centre, (n_values,))
        _require_n_active(self.kind, self.n_active, n_components)
        if (self.threshold is not None) != (self.kind in _WITH_THRESHOLD):
            needed = "needs" if self.threshold is None else "has no"
            raise SpecError(f"kind={self.kind!r} {needed} threshold")
        if self.threshold is not None:
            _require_array("threshold", self.threshold, (n_components,))
            if (self.threshold < 0).any():
                raise SpecError("threshold has negative values; codes are never negative")


def fold_scaler(dictionary: Dictionary, centre: Any, scale: Any) -> Dictionary:
    """Return the dictionary for rows as they were before ``(row - centre) / scale``.

    Codes stay the same; reconstructions come in the units of the rows.

    Parameters
    ----------
    dictionary : Dictionary
        For rows that were centred and scaled.
    centre : array of shape (n_values,) or number
        In the units of the rows.
    scale : array of shape (n_values,) or number
        Positive, in the units of the rows.

    Returns
    -------
    Dictionary
        Its parts are ``scale`` times as long as before.

    Raises
    ------
    SpecError
        If the shapes do not fit, ``centre`` is not finite or ``scale`` not positive, or
        the result is too large for float32.
    """
    n_values = dictionary.bias.size
    wide_centre = _per_value("centre", centre, n_values)
    wide_scale = _per_value("scale", scale, n_values)
    if not (wide_scale > 0).all():
        raise SpecError("scale must be positive")
    with np.errstate(over="ignore"):  # what is too large is refused below
        encoder_weight = dictionary.encoder_weight / wide_scale
    return dataclasses.replace(
        dictionary,
        encoder_weight=as_float32("encoder_weight", encoder_weight),
        parts=as_float32("parts", dictionary.parts * wide_scale),
        bias=as_float32("bias", dictionary.bias * wide_scale + wide_centre),
        centre=as_float32("centre", dictionary.centre * wide_scale + wide_centre),
    )


def as_float32(name: str, values: npt.NDArray[Any]) -> FloatArray:
    """Round to float32, in C order; refuse what that cannot hold with a `SpecError`."""
    with np.errstate(over="ignore"):
        narrow = np.asarray(values, dtype=np.float32, order="C")
    if not np.isfinite(narrow).all():
        raise SpecError(f"{name} has values that are not finite in float32")
    return narrow


def _per_value(name: str, values: Any, n_values: int) -> npt.NDArray[np.float64]:
    wide = np.asarray(values, dtype=np.float64)
    if wide.shape not in ((), (n_values,)):
        raise SpecError(f"{name} has shape {wide.shape}; it must be a number or ({n_values},)")
    if not np.isfinite(wide).all():
        raise SpecError(f"{name} has values that are not finite")
    return np.broadcast_to(wide, (n_values,))


def _require_array(name: str, values: Any, shape: tuple[int, ...]) -> None:
    if not isinstance(values, np.ndarray) or values.dtype != np.float32:
        found = values.dtype if isinstance(values, np.ndarray) else type(values).__name__
        raise SpecError(f"{name} is {found}; it must be an array of float32")
    if values.shape != shape:
        raise SpecError(f"{name} has shape {values.shape}; parts ask for {shape}")
    if not np.isfinite(values).all():
        raise SpecError(f"{name} has values that are not finite")


def _require_n_active(kind: str, n_active: Any, n_components: int) -> None:
    allowed: tuple[type, ...] = ()
    if kind == "topk":
        allowed = (int,)
    elif kind == "batchtopk":
        allowed = (int, float, type(None))
    if not allowed:
        if n_active is not None:
            raise SpecError(f"kind={kind!r} has no n_active; {n_active!r} was given")
        return
    fits = type(n_active) in allowed
    if fits and n_active is not None:
        fits = math.isfinite(n_active) and 0 < n_active <= n_components
    if not fits:
        number = "an integer" if kind == "topk" else "a number or None"
        raise SpecError(
            f"n_active={n_active!r} does not suit {kind!r}: {number}, "
            f"above 0 and at most {n_components}"
        )
