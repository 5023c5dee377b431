"""The scikit-learn faces."""

from __future__ import annotations

import math
import os
import time
from dataclasses import replace
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin, clone
from sklearn.utils.validation import _check_feature_names, check_is_fitted

from autoencode.architecture_choice import choose_architecture
from autoencode.checkpoint import Checkpoint, identify
from autoencode.data.aligned_rows import AlignedRows
from autoencode.data.reading import pictures_of
from autoencode.data.rows import Rows
from autoencode.dictionary_search import Found
from autoencode.errors import DataError, SpecError
from autoencode.estimators.exploring import Exploring
from autoencode.estimators.fitted import with_names
from autoencode.estimators.storing import file_contents
from autoencode.fit_data import Plan
from autoencode.fitting import Fit
from autoencode.model_file import write_model
from autoencode.opening import open_for_fit, open_like
from autoencode.outcome import claim_rows
from autoencode.planning import make_plan, plain
from autoencode.preprocess.pixels import pixel_dtype
from autoencode.preprocess.table_rows import TableRows
from autoencode.refining import refined
from autoencode.sampler_fit import fit_sampler
from autoencode.spec import shown
from autoencode.state import State
from autoencode.summary import describe_state, fitted_columns
from autoencode.trials import choose_strengths

__all__ = ["Autoencoder"]


class Autoencoder(Exploring, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Autoencoder that chooses its size on held-out rows and is never worse than PCA.

    Parameters
    ----------
    n_components : int, float or None, default=0.95
        Length of the code, or the share of held-out variance to explain, in (0, 1):
        then the smallest length that reaches it is chosen. None: as long as the rows; the
        model then learns to restore hidden cells, and is judged by that.
    columns : mapping of str to str, default=None
        Kinds of a table's columns that are not to be found by looking, such as
        ``{"zip": "categorical", "price": "numeric:transform=none"}``.
    hidden_layer_sizes : "auto" or sequence of int, default="auto"
        Hidden layers from the data to the code, mirrored in the decoder. Empty: the
        linear autoencoder, which is PCA.
    architecture, bottleneck, corruption, likelihood : str or callable
        One part on each axis, as ``"name:key=value"``; "auto" where it is the default. An
        "auto" architecture is dense layers (``"mlp"``); of 300 pictures or more, with sides of
        at least 16 pixels, dense layers or convolutions (``"conv"``), as short trainings say.
        ``architecture=(make_encoder, make_decoder)``: modules of your own; see
        `autoencode.architectures.own.Own`.
    nested : "auto" or bool, default="auto"
        Train all shorter codes too, so that the components are ordered.
    penalties : "auto" or sequence of str, default="auto"
        Further terms of the loss, such as ``"l2:weight=0.01"``, ``"contractive:weight=auto"``
        (chosen on held-out rows) or ``"l1:activity=0.1"`` (found while training). "auto" is
        none; with fewer than 300 complete rows of plain numbers, ``"l2:weight=auto"``.
    conditional : bool, default=False
        Whether `fit` is given classes (``y``), by which `sample` can draw rows.
    missing : {"ignorable", "informative"}, default="ignorable"
        Whether that a cell is missing says nothing about its value, given the others.
        "informative": it may depend on the value itself (large incomes are not told), and
        this is learned too.
    max_epochs : "auto" or int, default="auto"
        Passes over the data in the longest phase.
    max_time : float or None, default=None
        Seconds of fitting. Results under a time budget are not reproducible bit by bit.
    batch_size : "auto" or int, default="auto"
        Rows per step.
    learning_rate : "auto" or float, default="auto"
        Highest rate of the schedule.
    validation_fraction : float, default=0.1
        Share of rows held out: half of them choose, half measure what is claimed.
    scaling : {"auto", "standard", "common"}, default="auto"
        Standardise each column, or centre and divide by one number; "auto" is the
        first for tables with named columns, the second for bare arrays (as PCA).
    device : str, default="auto"
        Where to train.
    dtype : {"auto", "float32", "float64"}, default="auto"
        Floating type of training. "auto": float32; convolutions multiply in bfloat16 where the
        processor is made for it, which ``dtype_`` says. Errors on held-out rows never do.
    n_threads : "auto" or int, default="auto"
        The most threads inside one operator while training.
    random_state : int, RandomState instance or None, default=None
        The only source of randomness; the same seed gives the same bits on one machine.
    verbose : bool or callable, default=False
        Write a line per epoch to standard error. A callable is called instead, with the
        phase's name and the `History` so far.

    Attributes
    ----------
    n_components_ : int
        Length of the code.
    explained_variance_ratio_ : ndarray of shape (n_components_,)
        Share of held-out variance added by each component; its cumulative sum is the
        held-out curve of the final model's prefixes.
    curve_ : dict of str to ndarray
        ``size``, ``error`` and ``pca_error`` (mean squared error per value, scaled),
        ``explained_variance``, ``pca_explained_variance`` and ``network`` (whether the
        gate is open), of the best model at each size, on rows that nothing saw.
    gate_ : int
        1 if the fitted model is the network, 0 if it is PCA.
    architecture_ : str
        What networks are made of: "mlp", "conv", or what was asked for.
    code_shape_ : tuple of int
        ``(n_components_,)``; of ``"conv:code=spatial"`` where the gate is open
        ``(maps, height, width)``, which codes are flattened from.
    dtype_ : str
        In which types networks were trained.
    stop_reason_ : str
        "reached the asked level", "no further gain", "budget" or "interrupted".
    history_ : dict of str to list
        One entry per epoch: ``phase``, ``epoch``, ``seconds``, ``learning_rate``,
        ``held_out`` and every loss term as ``train_<term>``.
    encoder_, decoder_ : torch.nn.Module
        From rows in the data's units to codes, and back.
    n_features_in_, feature_names_in_
        Number of columns (pixels of a picture), and their names if they have any.
    n_iter_ : int
        Epochs in all.
    columns_ : list of dict
        For each column of a table its ``name``, ``type``, ``kind``, ``detail``, ``missing``
        cells and their share, and how well it comes back on held-out rows: ``measure``,
        ``quality``, ``baseline`` and ``error_share``. Empty for arrays.
    """

    def __init__(
        self,
        n_components: float | None = 0.95,
        *,
        columns: Any = None,
        hidden_layer_sizes: Any = "auto",
        architecture: Any = "auto",
        bottleneck: Any = "plain",
        nested: Any = "auto",
        corruption: Any = "auto",
        likelihood: Any = "auto",
        penalties: Any = "auto",
        conditional: bool = False,
        missing: str = "ignorable",
        max_epochs: Any = "auto",
        max_time: float | None = None,
        batch_size: Any = "auto",
        learning_rate: Any = "auto",
        validation_fraction: float = 0.1,
        scaling: str = "auto",
        device: Any = "auto",
        dtype: Any = "auto",
        n_threads: Any = "auto",
        random_state: Any = None,
        verbose: bool = False,
    ) -> None:
        self.n_components = n_components
        self.columns = columns
        self.hidden_layer_sizes = hidden_layer_sizes
        self.architecture = architecture
        self.bottleneck = bottleneck
        self.nested = nested
        self.corruption = corruption
        self.likelihood = likelihood
        self.penalties = penalties
        self.conditional = conditional
        self.missing = missing
        self.max_epochs = max_epochs
        self.max_time = max_time
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.validation_fraction = validation_fraction
        self.scaling = scaling
        self.device = device
        self.dtype = dtype
        self.n_threads = n_threads
        self.random_state = random_state
        self.verbose = verbose

    def fit(
        self,
        X: Any,
        y: Any = None,
        *,
        target: Any = None,
        X_held_out: Any = None,
        checkpoint: str | os.PathLike[str] | None = None,
    ) -> Self:
        """Fit to rows.

        Parameters
        ----------
        X : array-like, frame, sparse matrix or path
            ``(n_samples, n_features)``, or pictures ``(n_samples, height, width)``.
        y : array-like of shape (n_samples,), optional
            Classes, with ``conditional=True``; else ignored, for pipelines.
        target : like X, optional
            What to reconstruct when it is not X (clean rows for noisy ones).
        X_held_out : like X, optional
            Held-out rows, instead of a part of X.
        checkpoint : path, optional
            File that keeps the state of training, in case the fit is interrupted. If it
            exists, the fit goes on from there, to the same bits as without the
            interruption. It is removed when the fit is complete.

        Returns
        -------
        Autoencoder
            Itself.

        Raises
        ------
        DataError
            If the data cannot be used; the message names the column.
        SpecError
            If a parameter is not allowed, or the checkpoint is that of another fit.
        """
        rows, wanted, held = self._opened(X, target, X_held_out)
        classes = self._classes(y, rows.n_rows)
        if checkpoint is None:
            return self._fitted(rows, wanted, held, None, classes)
        given = {name: value for name, value in self.get_params().items() if name != "verbose"}
        parameters = {name: plain(value) for name, value in given.items()}
        sources = {"X": rows, "target": wanted, "X_held_out": held}
        identity = identify(type(self).__name__, parameters, sources)
        with Checkpoint(checkpoint, identity) as kept:
            return self._fitted(rows, wanted, held, kept, classes)

    def _opened(
        self, X: Any, target: Any, X_held_out: Any
    ) -> tuple[Rows, Rows | None, Rows | None]:
        """Read everything that a fit is given."""
        rows = open_for_fit(X, self.columns)
        if rows.n_rows < 2:
            raise DataError(
                f"Found array with {rows.n_rows} sample(s) (shape={(rows.n_rows, rows.n_columns)})"
                " while a minimum of 2 is required by Autoencoder: n_samples=1 has no variance."
            )
        wanted = None if target is None else self._like(rows, target, "target")
        if wanted is not None and wanted.n_rows != rows.n_rows:
            raise DataError(
                f"target has {wanted.n_rows} rows, X has {rows.n_rows}: they should be the same"
            )
        held = None if X_held_out is None else self._like(rows, X_held_out, "X_held_out")
        return rows, wanted, held

    def _fitted(
        self,
        rows: Rows,
        target: Rows | None,
        held: Rows | None,
        checkpoint: Checkpoint | None,
        classes: Any,
    ) -> Self:
        pictures = pictures_of(rows)
        given, rows, target = self._assigned(rows, target)
        begun = time.perf_counter()
        plan = make_plan(given, rows)
        if checkpoint is not None:
            plan = replace(plan, seed=checkpoint.seeded(plan.seed))
        sources, resumable = (rows, target, held), checkpoint is not None
        plan, tried = choose_architecture(plan, given, *sources, resumable=resumable)
        plan, evidence = choose_strengths(plan, *sources)
        plan, found = self._searched(plan, rows, target, held)
        searched = time.perf_counter() - begun
        start = None if found is None else found.start()
        fit = Fit(plan, rows, target, held, evidence=evidence, checkpoint=checkpoint, start=start)
        state = fit.run()
        state.facts["seconds"] += searched
        state.facts |= {"architectures": tried} if tried else {}
        if found is not None:
            state = refined(state, found, claim_rows(fit.data))
        _check_feature_names(self, with_names(rows), reset=True)
        self.n_features_in_ = rows.n_columns
        state.facts["sample_shape"] = list(rows.sample_shape)
        if isinstance(rows, TableRows):
            state.schema = rows.schema
            state.facts["frame"] = {"kind": rows.kind, "dtypes": rows.dtypes}
        else:
            goal = rows if target is None else target
            state.facts["pixels"] = pixel_dtype(goal.source_dtype, goal.sample_shape)
            state.facts["aligned"] = isinstance(rows, AlignedRows)
        if pictures is not None:
            state.facts["pictures"] = pictures.form.header()
        self._adopt(state)
        # If this is interrupted, the model is there, but for what it draws from.
        goal = rows if target is None else target
        unseen = fit.data.split.claim.tolist() if held is None else ()
        hurried = plan.max_time is not None
        state.sampler = fit_sampler(
            state, rows, goal, classes, plan.seed, left_out=unseen, hurried=hurried
        )
        if state.facts["stop_reason"] == "interrupted":
            raise KeyboardInterrupt
        return self

    def _searched(
        self, plan: Plan, rows: Rows, target: Rows | None, held: Rows | None
    ) -> tuple[Plan, Found | None]:
        """Return the plan, and a dictionary that is found before the fit, if any."""
        return plan, None

    def _assigned(
        self, rows: Rows, target: Rows | None
    ) -> tuple[dict[str, Any], Rows, Rows | None]:
        """Return the parameters of a fit, what it is fitted to, and its target."""
        return self.get_params(), rows, target

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def _like(self, rows: Rows, data: Any, what: str) -> Rows:
        """Read a second set of rows with the same columns."""
        schema = rows.schema if isinstance(rows, TableRows) else None
        other = open_like(data, schema, rows.names)
        if other.n_columns != rows.n_columns or (
            rows.names is not None and other.names is not None and other.names != rows.names
        ):
            raise DataError(
                f"{what} has {other.n_columns} features, X has {rows.n_columns}: the columns "
                "should be the same"
            )
        return other

    def _adopt(self, state: State) -> None:
        """Set the fitted attributes."""
        self._state = state
        self.n_components_ = state.n_components
        self._n_features_out = state.n_components
        self.explained_variance_ratio_ = np.diff(state.prefix_explained, prepend=0.0)
        self.curve_ = state.curve
        self.gate_ = int(state.source(state.n_components) != "pca")
        size = state.composition.code_size if self.gate_ else ()
        self.code_shape_ = (state.n_components // math.prod(size), *size)
        self.architecture_ = shown(state.composition.architecture)
        self.dtype_ = state.facts.get("dtype", "float32")
        self.stop_reason_ = state.facts["stop_reason"]
        self.history_ = state.history
        self.columns_ = fitted_columns(state)
        self.n_iter_ = len(state.history.get("epoch", []))
        fitted = state.fitted()
        self.encoder_, self.decoder_ = fitted.encoder, fitted.decoder

    def truncate(self, n_components: int) -> Self:
        """Return the best model of a smaller size; its codes differ from prefixes here.

        Parameters
        ----------
        n_components : int
            At most the largest size that the fit looked at: ``curve_["size"][-1]``.

        Returns
        -------
        Autoencoder
            A fitted model.
        """
        check_is_fitted(self)
        if not self._state.composition.ordered:
            raise SpecError("the parts of this sparse code have no order: fit with nested=True")
        most = max([*self._state.sizes, self.n_components_])
        if not 1 <= n_components <= most or n_components != int(n_components):
            raise SpecError(f"n_components={n_components!r} should lie between 1 and {most}")
        shorter: Self = clone(self).set_params(n_components=int(n_components))
        for name in ("n_features_in_", "feature_names_in_"):
            if hasattr(self, name):
                setattr(shorter, name, getattr(self, name))
        shorter._adopt(self._state.truncated(int(n_components)))
        return shorter

    def summary(self) -> str:
        """Return what was fitted and how good it is, in a few lines."""
        check_is_fitted(self)
        return describe_state(self._state, restores=self.n_components is None)

    def save(self, path: str | os.PathLike[str], *, encoder_only: bool = False) -> None:
        """Write the model to one file (safetensors, no code inside).

        Parameters
        ----------
        path : path
            Replaced as a whole or not at all.
        encoder_only : bool
            Keep just what ``transform`` needs.
        """
        check_is_fitted(self)
        state = self._state.encoder_only() if encoder_only else self._state
        write_model(path, *file_contents(self, state))
