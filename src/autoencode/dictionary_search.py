"""Before a sparse fit: a dictionary that two starts agree on, and how many parts a row has."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from autoencode.agreement import agreement, tolerance_for
from autoencode.architectures import ARCHITECTURES
from autoencode.architectures.dictionary import DictionaryDecoder
from autoencode.data.rows import Rows
from autoencode.fit_data import FitData, Plan
from autoencode.fitting import Fit
from autoencode.interfaces import LinearStart
from autoencode.network import Network
from autoencode.polishing import Parts, Polish, first_gain, polished
from autoencode.spec import make, with_option

__all__ = ["Found", "search_dictionary", "searchable"]

MOST_COMPONENTS = 2048
"""Codes longer than this are the encoder's alone: pursuit compares every part with every one."""

_STEPS, _BATCH, _RATE = 400, 1024, 6e-3
_FIRST_TOLERANCE = 0.05
_JUDGED_ROWS = 4000
_MOST_ROWS = 200_000
_TIME_SHARE = 0.3


def _short(plan: Plan, active: float, n_rows: int) -> Plan:
    """Return the plan of the networks that are only the start: a few hundred steps."""
    made_of = plan.composition
    batch = int(min(_BATCH, max(n_rows // 4, 32)))
    positive = make("architecture", ARCHITECTURES, made_of.architecture, made_of.sample_shape, ())
    composition = replace(
        made_of,
        architecture=f"dictionary:start='random',positive={positive.positive}",
        bottleneck=f"topk:active={max(1, round(active))}",
    )
    return replace(
        plan,
        composition=composition,
        batch_size=batch,
        learning_rate=_RATE,
        max_epochs=max(1, -(-_STEPS * batch // max(n_rows, 1))),
        max_time=None if plan.max_time is None else _TIME_SHARE * plan.max_time,
        report=None,
    )


def _parts_of(network: Network) -> Parts:
    decoder = network.decoder
    assert isinstance(decoder, DictionaryDecoder)
    return Parts(decoder.parts.detach(), decoder.bias.detach())


def _tensors(data: FitData) -> tuple[Tensor, Tensor]:
    """Return training rows, as many as are needed, and those to judge by."""
    numbers = data.split.train
    numbers = numbers[:: -(-len(numbers) // _MOST_ROWS)]
    training, _ = data.scaled(data.pairs, numbers).tensors()
    return training, data.choose.x.x[:_JUDGED_ROWS]


@dataclass(frozen=True)
class Found:
    """What the search found; arrays are scaled as in training.

    Attributes
    ----------
    parts : ndarray of shape (n_components, n_values)
        Of unit length.
    offset : ndarray of shape (n_values,)
        What a row without parts is.
    tolerance : float
        The least gain for which a part is added to a row.
    most : int
        Parts of a row, at most.
    facts : dict
        ``n_active`` and ``agreement``, as plain values.
    stability : ndarray of shape (n_components,)
        See `autoencode.agreement.Agreement`.
    """

    parts: npt.NDArray[np.float64]
    offset: npt.NDArray[np.float64]
    tolerance: float
    most: int
    facts: dict[str, Any]
    stability: npt.NDArray[np.float64]

    def start(self) -> LinearStart:
        """Return where the fit starts, and what it does not change."""
        parts = torch.from_numpy(self.parts)
        units = torch.ones(len(parts), dtype=parts.dtype)
        return LinearStart(parts, units, center=torch.from_numpy(self.offset))


def searchable(plan: Plan) -> bool:
    """Say whether rows are plain sums of few parts: then parts are found by turns."""
    made_of = plan.composition
    return (
        made_of.sparse
        and made_of.unit_codes
        and not made_of.hidden_layer_sizes
        and not (made_of.segments or made_of.masked or made_of.nested)
        and made_of.likelihood == "gaussian"
        and made_of.corruption == "none"
        and not made_of.penalties
        and int(plan.n_components) <= MOST_COMPONENTS
    )


def search_dictionary(
    plan: Plan, rows: Rows, held_out: Rows | None, *, n_active: float | None, exact: bool
) -> tuple[Plan, Found]:
    """Return a plan with as many active units as the rows have parts, and the dictionary.

    Two networks are trained in one pass over the rows, from different starts, and what they
    found is polished. Where their parts agree best on which of them a row has, there the
    pursuit stops.

    Parameters
    ----------
    plan : Plan
        Of the fit.
    rows, held_out : Rows
        As for `autoencode.fitting.Fit`.
    n_active : float or None
        Parts of a row; None: as many as the two dictionaries agree on.
    exact : bool
        Whether every row has as many.
    """
    size = int(plan.n_components)
    first = n_active or max(2.0, float(np.log2(size)))
    fit = Fit(_short(plan, first, rows.n_rows), rows, None, held_out)
    networks = fit.twins(size)
    training, judged = _tensors(fit.data)
    positive = getattr(networks[0].decoder, "positive", False)
    settings = Polish(most=max(16, round(2 * first)), positive=positive)
    if n_active is not None and exact:
        settings = replace(settings, most=round(n_active))
    dictionaries = []
    for network in networks:
        start = _parts_of(network)
        tolerance = _FIRST_TOLERANCE * first_gain(judged, start)
        if n_active is not None:
            tolerance = 0.0 if exact else tolerance_for(start, judged, n_active)
        dictionaries.append(polished(training, start, tolerance, settings, fit.rng))
    best, other = dictionaries
    result = agreement(best, other, judged)
    tolerance, count = result.tolerance, result.n_active
    if n_active is not None:
        count = n_active
        tolerance = 0.0 if exact else tolerance_for(best, judged, n_active)
    spec = with_option(str(plan.composition.bottleneck), "active", count)
    found = Found(
        best.parts.double().cpu().numpy(),
        best.offset.double().cpu().numpy(),
        tolerance,
        settings.most if exact else max(16, round(4 * count)),
        {"agreement": float(result.curve[:, 2].max()), "n_active": count},
        result.stability,
    )
    return replace(plan, composition=replace(plan.composition, bottleneck=spec)), found
