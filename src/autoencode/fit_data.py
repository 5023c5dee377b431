"""The rows of a fit by use, and what is measured on them before anything is trained."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np
import numpy.typing as npt
import torch

from autoencode.composition import Composition
from autoencode.corruptions import Hide
from autoencode.data.rows import Rows
from autoencode.errors import SpecError
from autoencode.guess import Guess
from autoencode.holes import Holes
from autoencode.measurement import HeldOut
from autoencode.preprocess.filling import WIDEST_FILL, Fill, Moments, fit_moments
from autoencode.preprocess.principal import PrincipalComponents, principal_components
from autoencode.preprocess.probabilistic import ProbabilisticPca
from autoencode.preprocess.scaling import Scaling, fit_scaling
from autoencode.preprocess.shrinking import Shrink
from autoencode.readers import MOST_READ, Readers
from autoencode.scaled_rows import Pairs, ScaledRows
from autoencode.selection import Split, halve, split_rows
from autoencode.size_curves import explained_share
from autoencode.training import History

__all__ = ["FitData", "Plan", "chance", "drawn_split"]

Numbers = npt.NDArray[np.intp]

_WIDEST_SEARCH = 1024
_WIDEST_RANDOMISED = 256
_MOMENT_ROWS = 10_000
"""Rows that covariances for restoring missing values are measured on, at most."""
_LONGEST = 10.0
_HIDDEN_SHARE, _LEAST_HIDDEN = 0.2, 0.05
"""Share of cells that are missing or hidden where a model is judged by what it restores."""


@dataclass(frozen=True)
class Plan:
    """Every choice of a fit, resolved: no "auto" is left.

    ``restores``: the model is judged by how well it restores hidden cells.
    ``fills``: it is to take rows with missing values, even if it was fitted to none.
    ``features``: codes are for simple readers, of which networks are to be judged; else by
    what can be restored from them.
    ``few``: rows are so few that networks are judged by cross-validation.
    ``lowers``: training may multiply in lower precision than ``dtype``.
    ``augmentation``: how pictures are moved in training; "auto": to be tried.
    """

    composition: Composition
    n_components: int | float
    scaling: str
    max_epochs: int
    max_time: float | None
    batch_size: int
    learning_rate: float
    validation_fraction: float
    device: torch.device
    dtype: torch.dtype
    n_threads: int | str
    seed: int
    restores: bool = False
    fills: bool = False
    features: bool = False
    few: bool = False
    lowers: bool = False
    augmentation: str = "none"
    report: Callable[[str, History], None] | None = None


def chance(seed: int) -> tuple[np.random.Generator, torch.Generator]:
    """Return a fit's sources of randomness: for its rows, and for its networks."""
    generator = np.random.default_rng(seed)
    return generator, torch.Generator().manual_seed(int(generator.integers(2**62)))


def drawn_split(
    plan: Plan, rows: Rows, held_out: Rows | None, generator: np.random.Generator
) -> Split:
    """Return the rows of a fit by use; see `FitData`."""
    if held_out is None:
        return split_rows(rows.n_rows, plan.validation_fraction, generator)
    return Split(np.arange(rows.n_rows), *halve(generator.permutation(held_out.n_rows)))


class FitData:
    """The rows of a fit, split by use, scaled, and their principal components.

    Parameters
    ----------
    plan : Plan
        Every choice.
    rows : Rows
        What is encoded.
    target : Rows or None
        What is reconstructed; None: the rows.
    held_out : Rows or None
        Rows of the user's to hold out; None: a part of ``rows`` is.
    generator : numpy.random.Generator
        For the split.
    split : Split or None
        Of ``rows`` (and those held out), if it is not drawn.
    """

    def __init__(
        self,
        plan: Plan,
        rows: Rows,
        target: Rows | None,
        held_out: Rows | None,
        generator: np.random.Generator,
        split: Split | None = None,
    ) -> None:
        self.plan = plan
        self.pairs = Pairs(rows, target)
        self.held_pairs = self.pairs if held_out is None else Pairs(held_out)
        self.split = drawn_split(plan, rows, held_out, generator) if split is None else split
        self.scaling, self.moments = self.units(self.split.train)
        self.training = self.scaled(self.pairs, self.split.train)
        if plan.composition.sparse:
            self.training = self._without_extremes(self.training)
        self.start = self.principal(self.training, self._limit())
        # A model of full length is judged by what it restores, any other by all it is given.
        numbers = self.split.choose
        if plan.composition.sparse and not len(numbers):
            # There is no PCA to fall back on: too few rows are judged by themselves.
            numbers = self.split.train
        choose = self.scaled(self.held_pairs, numbers)
        self.choose = self.judged(choose, restores=plan.restores)
        self.stop = self._spoilt(choose) if plan.features else self.choose

    @property
    def n_values(self) -> int:
        """The number of values in a row."""
        return self.pairs.rows.n_features

    def units(self, numbers: Numbers) -> tuple[Scaling, Moments | None]:
        """Measure how rows are centred and scaled, and how their values hang together.

        The latter is what missing values are restored from; without any, it is left out.
        """
        plan, composition = self.plan, self.plan.composition
        layout = composition.layout
        scaling = fit_scaling(self.pairs.raw(numbers), plan.scaling, layout)
        needed = composition.masked or composition.noisy or plan.fills
        if not needed or self.n_values > WIDEST_FILL:
            return scaling, None
        every = -(-len(numbers) // _MOMENT_ROWS)
        rows = ScaledRows(self.pairs, numbers[::every], scaling, plan.dtype, plan.device)
        moments = fit_moments(np.concatenate(list(rows.blocks_with_missing())), layout)
        # Means over what is observed are off where what is missing depends on the rest.
        center = scaling.center + scaling.scale * moments.mean
        return Scaling(center, scaling.scale), moments

    def scaled(self, pairs: Pairs, numbers: Numbers) -> ScaledRows:
        """Return some rows, scaled."""
        device, dtype = self.plan.device, self.plan.dtype
        return ScaledRows(pairs, numbers, self.scaling, dtype, device, self.fill())

    def _without_extremes(self, training: ScaledRows) -> ScaledRows:
        """Return rows of which none is much longer than the others; say so if one was.

        A few very long rows would have the parts of a sparse code to themselves.
        """
        lengths = training.lengths()
        longest = _LONGEST * float(np.quantile(lengths, 0.9)) if len(lengths) else 0.0
        extreme = np.flatnonzero(lengths > longest)
        if not len(extreme) or not longest:
            return training
        warnings.warn(
            f"{len(extreme)} rows are more than {_LONGEST:g} times as far from the mean as nine "
            f"rows in ten are (the first is row {training.numbers[extreme[0]]}): in training "
            "they count as if they were that far",
            UserWarning,
            stacklevel=2,
        )
        return replace(training, longest=longest)

    def fill(self) -> Fill | None:
        """Return what missing values are restored by, in float64, if anything."""
        if self.moments is None:
            return None
        precision = torch.from_numpy(self.moments.precision())
        return Fill(precision, self.plan.composition.layout)

    def shrink(self) -> Shrink | None:
        """Return what takes noise out linearly, in float64, if anything."""
        if self.moments is None or not self.plan.composition.shrinks:
            return None
        return Shrink(torch.from_numpy(self.moments.covariance))

    def guess(self) -> Guess:
        """Return the best linear guess of rows that are incomplete or noisy, in float64."""
        composition = self.plan.composition
        masked, noisy = composition.masked, composition.noisy
        return Guess(self.fill(), self.shrink(), masked, noisy, composition.layout.first_values())

    def judged(
        self, rows: ScaledRows, *, restores: bool, copies: int = 8, hides: bool = False
    ) -> HeldOut:
        """Return rows to judge by, spoilt if they are to be restored.

        Where the network is told how noisy rows are, they are spoilt as in training;
        else, or if ``hides``, some of their cells are hidden. The more is missing already,
        the fewer: they are to be restored from about as much as missing ones are.
        """
        composition, spoil = self.plan.composition, None
        if restores:
            corrupt = composition.corrupter()
            usual = hides or not composition.noisy
            if corrupt is None or (usual and not isinstance(corrupt, Holes)):
                missing = float(self.training.missing_shares().mean())
                level = max(_LEAST_HIDDEN, _HIDDEN_SHARE - missing)
                corrupt = Hide(composition.layout, level=level, rows=1.0, together=False)
            rng = torch.Generator(self.plan.device).manual_seed(self.plan.seed)
            spoil = partial(corrupt, rng=rng)
        return HeldOut(rows, self.start, self.training, self.guess(), spoil, copies)

    def _spoilt(self, rows: ScaledRows) -> HeldOut:
        """Return rows spoilt as in training, of which all values are to be restored."""
        corrupt = self.plan.composition.corrupter()
        if corrupt is None:
            return self.choose
        spoil = partial(corrupt, rng=torch.Generator(self.plan.device).manual_seed(self.plan.seed))
        return HeldOut(rows, self.start, self.training, self.guess(), spoil, whole=True)

    def readers(self) -> Readers:
        """Return those who judge codes; of training rows, 2,000 at most."""
        every = -(-len(self.split.train) // MOST_READ)
        rows = self.scaled(self.pairs, self.split.train[::every])
        return Readers(self.judged(rows, restores=False), self.start.deviations, self.plan.seed)

    def principal(self, rows: ScaledRows, limit: int) -> PrincipalComponents:
        """Return the leading principal components of some rows."""
        return principal_components(rows.blocks, len(rows), self.n_values, limit, self.plan.seed)

    @cached_property
    def total(self) -> float:
        """The variance of training rows around their principal components' mean, summed."""
        mean = self.start.mean
        squares = sum(float(np.square(block - mean).sum()) for block in self.training.blocks())
        return squares / len(self.training)

    def probabilistic(self, size: int) -> ProbabilisticPca:
        """Return probabilistic PCA of the training rows."""
        return ProbabilisticPca.fit(self.start.head(size), self.total)

    def search_limit(self) -> int:
        """Return the largest size worth looking at: where PCA reaches the asked level."""
        if not isinstance(self.plan.n_components, float):
            most = self.choose.pca.shape[1] - 1
            if self.plan.n_components > most and not self.plan.composition.sparse:
                raise SpecError(
                    f"n_components={self.plan.n_components} is more than the "
                    f"{len(self.split.train)} rows that are left to fit to allow: choose at "
                    f"most {most}, or hold out fewer rows (validation_fraction)"
                )
            return self.plan.n_components
        left = self.choose.pca.mean(0)
        explained = explained_share(left, float(left[0]))
        reached = np.flatnonzero(explained[1:] >= self.plan.n_components)
        most = max(1, len(explained) - 1)
        step = self.plan.composition.n_places
        if step > most:
            raise SpecError(
                f"a spatial code of these pictures has {step} components or a multiple of it, and "
                f"{most} is the most for these rows: fit to more, or leave code=spatial"
            )
        found = int(reached[0]) + 1 if len(reached) else most
        return min(-(-found // step), most // step) * step

    def _limit(self) -> int:
        """Return how many principal components are wanted at most.

        Beside a sparse code, as many as are active.
        """
        plan = self.plan
        if not isinstance(plan.n_components, float):
            if not plan.composition.sparse:
                return plan.n_components
            active = plan.composition.n_active(plan.n_components)
            return min(active, len(self.split.train), self.n_values)
        widest = _WIDEST_SEARCH if self.n_values <= 3000 else _WIDEST_RANDOMISED
        return min(len(self.split.train), self.n_values, widest)
