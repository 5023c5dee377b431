"""What is known of the noise in rows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["KINDS", "Array", "Atom", "Flags", "Noise", "Places"]

Array = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]
Flags = npt.NDArray[np.bool_]

KINDS = ("none", "gaussian", "impulse", "swap")
"""None at all; added to every value; a fixed value in place of some; another row's value."""


@dataclass(frozen=True)
class Atom:
    """A value that noise puts in place of others.

    Attributes
    ----------
    values : tuple of float
        In each column, in the data's units; NaN where there is none.
    share : float
        Of the cells of which others expect something else, those that have the value.
    places : tuple of float
        The values in the units that the noise was measured in.
    observed : tuple of float
        Share of the cells that have it, by how far above it the others expect them to be.
    edges : tuple of float
        Between which distances cells are taken together, in deviations of errors.
    usual : float
        Share of the cells of which others expect something else that have the value without
        any noise.
    """

    values: tuple[float, ...]
    share: float = 0.0
    places: tuple[float, ...] = ()
    observed: tuple[float, ...] = ()
    edges: tuple[float, ...] = ()
    usual: float = 0.0

    def unusual(self, share: float) -> float:
        """Return which share of the cells noise put there, where ``share`` have the value."""
        return max(0.0, (share - self.usual) / (1.0 - self.usual))

    def at(self, raw: Array) -> Flags:
        """Return which cells have the value."""
        found: Flags = raw == np.array(self.values)
        return found


@dataclass(frozen=True)
class Noise:
    """What is known of the noise in rows.

    Attributes
    ----------
    kind : str
        One of `KINDS`.
    level : float
        Standard deviation ("gaussian", in the network's units), or share of cells.
    error : float
        Standard error of the level.
    atoms : tuple of Atom
        For "impulse": the values that it puts in place of others.
    scales : tuple of float
        How wide the errors of what other cells say of each column are.
    spreads : tuple of float
        For "swap": how wide the column itself is.
    weights : tuple of float
        For "swap": shares of cells that are near what is expected, wide of it, exchanged.
    center, scale : tuple of float
        The units of all this, where they are not those of the network: values that are
        numbers are ``(x - center) / scale``.
    """

    kind: str
    level: float = 0.0
    error: float = 0.0
    atoms: tuple[Atom, ...] = ()
    scales: tuple[float, ...] = ()
    spreads: tuple[float, ...] = ()
    weights: tuple[float, ...] = ()
    center: tuple[float, ...] = ()
    scale: tuple[float, ...] = ()

    @property
    def replaces(self) -> bool:
        """Whether it takes the place of some values, and leaves all others alone."""
        return self.kind in ("impulse", "swap")

    @property
    def columns_hit(self) -> int | None:
        """In how many columns values were found that it puts there; None: in all, or it puts none.

        Its level is their share of the cells of these.
        """
        places = [atom.places for atom in self.atoms if atom.places]
        found = (~np.isnan(np.array(places))).any(axis=0)
        return int(found.sum()) if places and not found.all() else None

    def header(self) -> dict[str, Any]:
        """Return plain values from which `from_header` makes the same; None is NaN."""
        plain: dict[str, Any] = _plain(asdict(self))
        return plain

    @classmethod
    def from_header(cls, values: Mapping[str, Any]) -> Noise:
        """Return what `header` described."""
        atoms = tuple(
            Atom(
                values=_numbers(atom["values"]),
                share=atom["share"],
                usual=atom["usual"],
                **{name: _numbers(atom[name]) for name in ("places", "observed", "edges")},
            )
            for atom in values["atoms"]
        )
        names = ("scales", "spreads", "weights", "center", "scale")
        listed = {name: _numbers(values[name]) for name in names}
        return cls(values["kind"], values["level"], values["error"], atoms, **listed)


def _plain(value: Any) -> Any:
    """Return values of which those that are not numbers are None, as a header needs it."""
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def _numbers(values: Sequence[float | None]) -> tuple[float, ...]:
    return tuple(math.nan if value is None else value for value in values)
