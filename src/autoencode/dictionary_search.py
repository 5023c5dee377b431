"""Before a sparse fit: a dictionary that two starts agree on, and how many parts a row has."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
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
from autoencode.metrics import STABLE
from autoencode.network import Network
from autoencode.polishing import Parts, Polish, first_gain, most_stable, polished, split
from autoencode.pursuit import pursued_codes
from autoencode.spec import make, with_option

__all__ = ["Found", "Wish", "search_dictionary", "searchable"]

MOST_COMPONENTS = 2048
"""Codes longer than this are the encoder's alone: pursuit compares every part with every one."""

_EFFORTS = ((400, 1.0), (1600, 1.5))
"""Steps of the start, and how many active units it has; the second where the first fails."""
_FEW_FOUND, _ROWS_FOR_MORE = 0.33, 20
_BATCH, _RATE = 1024, 6e-3
_FEWEST_STEPS = 40
_WIDER, _MOST_PER_VALUE = (1.5, 2.0), 6
_ROWS_PER_PART = 4
_VALUES_PER_PART = 4
_FIRST_TOLERANCE = 0.04
_ROUNDS = (5, 4, 5, 3)
_SPARE = 1.15
_ALIKE = 0.75
_ENOUGH_STABLE, _FEW_STABLE = 0.5, 0.25
_JUDGED_ROWS, _FEW_JUDGED, _TOLERANCE_ROWS = 4000, 2000, 1024
_MOST_ROWS = 200_000
_TIME_SHARES, _LEAST_TIME = (0.3, 0.6), 0.05
_REGRESSED_ROWS, _RIDGE = 8192, 1e-3


def _short(plan: Plan, active: float, n_rows: int, steps: int) -> Plan:
    """Return the plan of the networks that are only the start: a few hundred steps."""
    made_of = plan.composition
    batch = int(min(_BATCH, max(n_rows // 4, 32)))
    steps = min(max(n_rows, _FEWEST_STEPS), steps)
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
        max_epochs=-(-steps * min(batch, n_rows) // n_rows),
        max_time=None if plan.max_time is None else _TIME_SHARES[0] * plan.max_time,
        report=None,
    )


def _parts_of(network: Network) -> Parts:
    decoder = network.decoder
    assert isinstance(decoder, DictionaryDecoder)
    return Parts(decoder.parts.detach(), decoder.bias.detach())


def _tensors(data: FitData) -> tuple[Tensor, Tensor]:
    """Return training rows, as many as are needed, and those to judge by.

    Few held-out rows say little of how often rare parts are seen alike; then training rows
    join them, which both dictionaries know as well.
    """
    numbers = data.split.train
    numbers = numbers[:: -(-len(numbers) // _MOST_ROWS)]
    training, _ = replace(data.training, numbers=numbers).tensors()
    judged = data.choose.x.x[:_JUDGED_ROWS]
    if len(judged) < _FEW_JUDGED:
        judged = torch.cat([judged, training[: _FEW_JUDGED - len(judged)]])
    return training, judged


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
    encoder : tuple of Tensor
        Weights and biases of the linear map that comes nearest to the codes.
    interrupted : bool
        Whether there was no time for the search to end.
    """

    parts: npt.NDArray[np.float64]
    offset: npt.NDArray[np.float64]
    tolerance: float
    most: int
    facts: dict[str, Any]
    stability: npt.NDArray[np.float64]
    encoder: tuple[Tensor, Tensor]
    interrupted: bool = False

    def start(self) -> LinearStart:
        """Return where the fit starts, and what it does not change."""
        parts = torch.from_numpy(self.parts)
        units = torch.ones(len(parts), dtype=parts.dtype)
        center = torch.from_numpy(self.offset)
        return LinearStart(parts, units, center=center, encoder=self.encoder)


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


@dataclass(frozen=True)
class Wish:
    """What is asked of a dictionary.

    Attributes
    ----------
    n_components : int or None
        Number of parts; None: as many as two starts agree on.
    n_active : float or None
        Parts of a row; None: as many as the two dictionaries agree on.
    exact : bool
        Whether every row has as many.
    """

    n_components: int | None
    n_active: float | None
    exact: bool


def search_dictionary(
    plan: Plan, rows: Rows, held_out: Rows | None, wish: Wish
) -> tuple[Plan, Found]:
    """Return a plan for as many parts, and active ones, as the rows have; and the dictionary.

    Two networks with more units than are wanted are trained in one pass over the rows, from
    different starts. What they found is polished, parts that hold others are split, and
    those are kept that are most alike in both. If these are few and rows are many, two others
    are trained for longer first, with more active units. Where these agree best on which
    of them a row has, there the pursuit stops.

    Parameters
    ----------
    plan : Plan
        Of the fit.
    rows, held_out : Rows
        As for `autoencode.fitting.Fit`.
    wish : Wish
        What is asked for.
    """
    started = time.monotonic()
    until = math.inf if plan.max_time is None else started + _TIME_SHARES[1] * plan.max_time
    size = int(plan.n_components)
    wide = _width(size, rows, fixed=wish.n_components is not None)
    affordable = rows.n_rows >= _ROWS_FOR_MORE * wide and plan.max_time is None
    efforts = _EFFORTS if affordable else _EFFORTS[:1]
    best: _Search | None = None
    for effort in efforts:
        search = _started(plan, rows, held_out, wish, wide, effort)
        search.settings = replace(search.settings, until=until)
        search.prepare()
        if best is None or search.share > best.share:
            best = search
        if best.share >= _FEW_FOUND or search.interrupted:
            break
    assert best is not None
    best.finish(size)
    found = replace(best.result(), interrupted=best.interrupted)
    return _planned(plan, found, started), found


def _started(
    plan: Plan, rows: Rows, held: Rows | None, wish: Wish, wide: int, effort: tuple[int, float]
) -> _Search:
    """Train two networks for some steps; return the search that goes on from them."""
    steps, denser = effort
    few = max(2.0, min(denser * float(np.log2(wide)), rows.n_features / _VALUES_PER_PART))
    active = wish.n_active or min(few, float(wide))
    fit = Fit(_short(plan, active, rows.n_rows, steps), rows, None, held)
    networks = fit.twins(wide)
    training, judged = _tensors(fit.data)
    most = max(16, round(2 * active))
    if wish.n_active is not None and wish.exact:
        most = round(wish.n_active)
    positive = getattr(networks[0].decoder, "positive", False)
    settings = Polish(most=most, positive=positive)
    pair = [_parts_of(network) for network in networks]
    return _Search(training, judged, settings, wish, fit.rng, pair, fit.interrupted)


def _width(size: int, rows: Rows, *, fixed: bool) -> int:
    """Return how many parts to start with: more than are wanted find more of them.

    Half as many again; up to twice as many while they are at most six for each value.
    """
    wide = max(_WIDER[0] * size, min(_WIDER[1] * size, _MOST_PER_VALUE * rows.n_features))
    wide = min(wide, rows.n_rows / _ROWS_PER_PART)
    return int(max(wide, size if fixed else 1))


def _planned(plan: Plan, found: Found, started: float) -> Plan:
    """Return the plan of the encoder's fit."""
    active = found.facts["n_active"]
    spec = with_option(str(plan.composition.bottleneck), "active", active)
    left = plan.max_time
    if left is not None:
        left = max(left - (time.monotonic() - started), _LEAST_TIME)
    return replace(
        plan,
        composition=replace(plan.composition, bottleneck=spec),
        n_components=len(found.parts),
        max_time=left,
        max_epochs=1 if found.interrupted else plan.max_epochs,
    )


@dataclass
class _Search:
    """From two starts to a dictionary.

    Attributes
    ----------
    training, judged : Tensor
        Rows to learn from and to judge by, scaled.
    settings : Polish
        How parts are polished.
    wish : Wish
        What is asked for.
    rng : torch.Generator
        Of all drawing.
    pair : list of Parts
        Both dictionaries, as good as they are by now.
    interrupted : bool
        Whether they are to stay as they are.
    """

    training: Tensor
    judged: Tensor
    settings: Polish
    wish: Wish
    rng: torch.Generator
    pair: list[Parts]
    interrupted: bool

    def prepare(self) -> None:
        """Polish both dictionaries as they are."""
        self._unless_interrupted(lambda: self._polish(0, 1))

    @property
    def share(self) -> float:
        """Return the share of the parts in use that both starts led to."""
        _, score = most_stable(*self.pair)
        return float((score > STABLE).sum() / (score > -1.0).sum().clamp_min(1))

    def finish(self, size: int) -> None:
        """Keep as many parts as asked for, in two steps, and polish them."""

        def work() -> None:
            self.keep(size if self.wish.n_components is None else math.ceil(_SPARE * size))
            self._polish(2)
            self.keep(size)
            self._polish(3)

        self._unless_interrupted(work)
        if self.interrupted:
            self.keep(size)

    def _unless_interrupted(self, work: Callable[[], Any]) -> None:
        if self.interrupted:
            return
        try:
            work()
        except KeyboardInterrupt:
            self.interrupted = True

    def _polish(self, *stages: int) -> None:
        for stage in stages:
            for place in range(len(self.pair)):
                self.pair[place] = self._polished(self.pair[place], stage)

    def keep(self, size: int) -> None:
        """Keep the parts that are most alike in both, in their order."""
        first, second = self.pair
        if len(first.parts) <= size and self.wish.n_components is not None:
            return
        order, score = most_stable(first, second)
        others, _ = most_stable(second, first)
        count = size if self.wish.n_components is not None else self._count(score, size)
        self.pair = [
            one.kept(best[:count].sort().values) for one, best in ((first, order), (second, others))
        ]

    def _count(self, score: Tensor, size: int) -> int:
        """Return how many parts are facts of the rows; the asked size if few seem to be.

        What is dropped is what differs clearly: parts seen rarely are less alike.
        """
        used, alike = int((score > -1.0).sum()), int((score > _ALIKE).sum())
        return alike if alike >= _ENOUGH_STABLE * used and alike else min(size, len(score))

    def _polished(self, found: Parts, stage: int) -> Parts:
        if 0 < stage < len(_ROUNDS) - 1:
            found = split(found, positive=self.settings.positive)
        settings = replace(self.settings, rounds=_ROUNDS[stage])
        tolerance = self._tolerance(found, self.judged[:_TOLERANCE_ROWS])
        return polished(self.training, found, tolerance, settings, self.rng)

    def _tolerance(self, found: Parts, rows: Tensor) -> float:
        wish = self.wish
        if wish.n_active is None:
            return _FIRST_TOLERANCE * first_gain(self.judged, found)
        return 0.0 if wish.exact else tolerance_for(found, rows, wish.n_active)

    def result(self) -> Found:
        """Return the first of the dictionaries, with what the second says of it."""
        best, other = self.pair
        compared, wish = agreement(best, other, self.judged), self.wish
        tolerance, count = compared.tolerance, compared.n_active
        stable = float((compared.stability > STABLE).mean())
        if wish.n_active is not None:
            tolerance, count = self._tolerance(best, self.judged), wish.n_active
        elif stable < _FEW_STABLE:
            # Two dictionaries that have little in common agree on nothing.
            tolerance = self._tolerance(best, self.judged)
            count = compared.count(tolerance)
        most = max(1, round(count)) if wish.exact else max(16, round(4 * count))
        return Found(
            best.parts.double().cpu().numpy(),
            best.offset.double().cpu().numpy(),
            tolerance,
            most,
            {
                "agreement": float(compared.curve[:, 2].max()),
                "n_active": count,
                "stable": stable,
            },
            compared.stability,
            _linear_encoder(self.training[:_REGRESSED_ROWS], best, most, tolerance),
        )


def _linear_encoder(x: Tensor, found: Parts, most: int, tolerance: float) -> tuple[Tensor, Tensor]:
    """Return weights and biases of the regression of codes by pursuit on the rows (ridge)."""
    codes = pursued_codes(x - found.offset, found.parts, most, tolerance)
    z, rows = codes.dense(len(found.parts)).double(), x.double()
    around, level = rows.mean(0), z.mean(0)
    rows = rows - around
    gram = rows.t() @ rows
    ridge = _RIDGE * gram.diagonal().mean().clamp_min(torch.finfo(gram.dtype).tiny)
    gram.diagonal().add_(ridge)
    weight = torch.linalg.solve(gram, rows.t() @ (z - level)).t()
    return weight, level - weight @ around
