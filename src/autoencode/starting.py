"""Where training starts: PCA of the training rows, or a dictionary of parts."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from autoencode.composition import Composition, linear_start
from autoencode.fit_data import FitData
from autoencode.interfaces import LinearStart
from autoencode.network import Network
from autoencode.preprocess.probabilistic import ProbabilisticPca

__all__ = [
    "dictionary_start",
    "geometric_median",
    "scaled_start",
    "starting_network",
    "starting_point",
]

_MOST_ROWS = 65_536
_MEDIAN_ROWS, _MEDIAN_ROUNDS = 4_096, 30
_QUANTILE_ROWS = 8_192
_SCALED_ROWS = 1_024


def starting_network(
    data: FitData, size: int, dictionary: LinearStart | None, rng: torch.Generator
) -> Network:
    """Return a network before training, on the device of a fit.

    Parameters
    ----------
    data : FitData
        The rows.
    size : int
        Length of the code.
    dictionary : LinearStart or None
        One that is not to be changed; None: `starting_point`.
    rng : torch.Generator
        Draws what is not given.
    """
    plan, composition = data.plan, data.plan.composition
    network = composition.network(size, rng)
    network.likelihood.set_units(
        torch.from_numpy(data.scaling.center), torch.from_numpy(data.scaling.scale)
    )
    if network.masked:
        network.fill = data.fill()
    if network.noisy:
        network.shrink = data.shrink()
    if network.selection is not None:
        network.selection.start(torch.from_numpy(data.training.missing_shares()))
    start = dictionary
    if start is None:
        start = starting_point(composition, data, size, rng)
    if start is not None:
        network.start_linear(start)
    if dictionary is not None:
        # Its parts are the best already: what is learned is to see them in rows.
        network.decoder.requires_grad_(False)
    return network.to(device=plan.device, dtype=plan.dtype)


def starting_point(
    composition: Composition, data: FitData, size: int, rng: torch.Generator
) -> LinearStart | None:
    """Return where the linear path of a network starts; None: where its weights were drawn.

    Parameters
    ----------
    composition : Composition
        Its ``start`` says what from.
    data : FitData
        The rows.
    size : int
        Length of the code.
    rng : torch.Generator
        For the directions of a dictionary.
    """
    if composition.start == "random":
        return None
    if composition.start == "pca" and composition.variational:
        return probabilistic_start(data.probabilistic(size))
    if composition.start == "pca":
        start = linear_start(data.start.head(size))
        units = torch.ones_like(start.deviations)
        return replace(start, deviations=units) if composition.unit_codes else start
    numbers = data.split.train
    numbers = numbers[:: -(-len(numbers) // max(_MOST_ROWS, size))]
    values, _ = replace(data.training, numbers=numbers).tensors()
    rows = torch.nan_to_num(values.flatten(1).double().cpu(), nan=0.0)
    start = dictionary_start(rows, size, rng, composition.start)
    return scaled_start(start, rows, composition.n_active(size))


def probabilistic_start(model: ProbabilisticPca) -> LinearStart:
    """Return the posterior and the decoder of probabilistic PCA (Tipping and Bishop, eq. 6).

    Under a normal likelihood the bound is then the likelihood itself. Rows are centred.
    """
    components, loadings = (torch.from_numpy(part) for part in (model.components, model.loadings))
    shrinkage = torch.from_numpy(model.shrinkage)
    weight = components * (shrinkage / loadings)[:, None]
    return LinearStart(
        components,
        loadings,
        encoder=(weight, torch.zeros_like(loadings)),
        log_var=torch.log1p(-shrinkage),
        scale=math.sqrt(model.noise),
    )


def scaled_start(start: LinearStart, rows: Tensor, active: int) -> LinearStart:
    """Return the same dictionary with an encoder whose codes add up to about the rows.

    Many parts that are much alike would be too much together.

    Parameters
    ----------
    start : LinearStart
        Parts of unit length, and their center.
    rows : Tensor
        ``(rows, n_values)``.
    active : int
        Parts of a row: the largest.
    """
    assert start.center is not None
    parts, some = start.components, rows[:_SCALED_ROWS] - start.center
    value, place = (some @ parts.t()).topk(min(active, len(parts)), sorted=False)
    sums = torch.nn.functional.embedding_bag(
        place, parts, mode="sum", per_sample_weights=value.relu()
    )
    energy = float(sums.square().sum())
    share = float((sums * some).sum()) / energy if energy > 0 else 1.0
    weight = parts * share
    return replace(start, encoder=(weight, -(weight @ start.center)))


def dictionary_start(
    rows: Tensor, n_components: int, rng: torch.Generator, kind: str
) -> LinearStart:
    """Return a dictionary of unit length parts.

    Parameters
    ----------
    rows : Tensor
        ``(rows, n_values)``.
    n_components : int
        Number of parts.
    rng : torch.Generator
        Of the drawing.
    kind : str
        ``"data"``: parts are the directions of rows from their geometric median (as many
        as there are; the others are drawn). ``"positive"``: from each value's 1% quantile,
        and never below it. ``"directions"``: all are drawn, around the median.
    """
    if kind == "positive":
        center = torch.from_numpy(np.quantile(rows.numpy()[:_QUANTILE_ROWS], 0.01, axis=0))
    else:
        center = geometric_median(rows[:: -(-len(rows) // _MEDIAN_ROWS)])
    parts = torch.randn(n_components, rows.shape[1], generator=rng, dtype=rows.dtype)
    if kind != "directions":
        chosen = rows[torch.randperm(len(rows), generator=rng)[:n_components]] - center
        if kind == "positive":
            chosen, parts = chosen.clamp_min(0.0), parts.abs()
        usable = chosen.square().sum(1, keepdim=True) > 0
        parts[: len(chosen)] = torch.where(usable, chosen, parts[: len(chosen)])
    parts = torch.nn.functional.normalize(parts, dim=1)
    return LinearStart(parts, torch.ones(n_components, dtype=rows.dtype), center=center)


def geometric_median(rows: Tensor) -> Tensor:
    """Return the point with the least sum of distances to the rows, ``(n_values,)``.

    Weiszfeld's iteration (1937); outliers move it less than the mean.
    """
    center = rows.mean(0)
    least = 1e-9 * float((rows - center).square().sum(1).mean().sqrt())
    for _ in range(_MEDIAN_ROUNDS):
        weights = 1.0 / (rows - center).square().sum(1).sqrt().clamp_min(max(least, 1e-300))
        center = (weights @ rows) / weights.sum()
    return center
