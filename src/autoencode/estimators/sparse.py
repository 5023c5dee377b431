"""Sparse autoencoders: many parts, of which each row uses few."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from autoencode.data.rows import Rows
from autoencode.defaults import positive
from autoencode.dictionary import Dictionary
from autoencode.dictionary_files import read_dictionary
from autoencode.dictionary_search import MOST_COMPONENTS, Found, Wish, search_dictionary, searchable
from autoencode.dictionary_state import bottleneck_of, state_of
from autoencode.errors import DataError, SpecError
from autoencode.estimators.autoencoder import Autoencoder
from autoencode.estimators.fitted import FloatArray, torch_dtype
from autoencode.fit_data import Plan
from autoencode.inference import apply
from autoencode.refining import PIECE, pursuing
from autoencode.sparse_codes import sparse_codes
from autoencode.state import State

__all__ = ["SparseAutoencoder"]

_PENALISED = "relu"
_PARTS_PER_VALUE, _VALUES_PER_PART = 4, 4
_ENCODER_ROWS, _ENCODER_EPOCHS = 500_000, (2, 30)
"""Rows seen in all by an encoder that only stands beside the codes of a pursuit."""
_BOTTLENECKS = ("topk", "batchtopk", "jumprelu", _PENALISED)


class SparseAutoencoder(Autoencoder):
    """Autoencoder with more units than it uses for any one row: a dictionary of parts.

    Parameters
    ----------
    n_components : int or "auto", default="auto"
        Number of parts; it may be larger than the number of columns. "auto": those of six
        times as many as there are columns (a quarter of the rows, if these are fewer) that
        two starts lead to; four times as many as columns where most of them differ, or
        where codes are the encoder's alone.
    n_active : float or "auto", default="auto"
        How many parts a row uses: at most ("topk"), or on average (the others). "auto": as
        many as two starts agree on; where codes are the encoder's alone, the square root of
        ``n_components``, a quarter of the columns at most.
    bottleneck : {"batchtopk", "topk", "jumprelu", "relu"}, default="batchtopk"
        How parts are chosen: the largest of a batch, with a threshold for predictions; the
        largest of each row; those above thresholds of their own, which are learned; those
        that are positive, under a penalty on the mean activity of each (Kullback-Leibler).
    positive : bool, default=False
        Whether parts have no negative values, as pieces of pictures or spectra.
    refine : {"auto", "omp", None}, default="auto"
        "omp": parts are found by turns with the best codes for them, by orthogonal matching
        pursuit, and these are the codes; slower, and nearer to what is in the rows, than those
        of the encoder alone (None). "auto": "omp" for up to 2,048 parts of complete rows of
        plain numbers, without hidden layers.
    sparse_output : bool, default=True
        Whether `transform` returns a SciPy CSR matrix; else an array.
    nested : bool, default=False
        Whether the leading parts are a dictionary too, at every length (Matryoshka).
    hidden_layer_sizes : sequence of int, default=()
        Hidden layers before the code, mirrored in the decoder; none: rows are sums of parts.
    columns, corruption, likelihood, penalties, missing
        As in `Autoencoder`.
    max_epochs, max_time, batch_size, learning_rate, validation_fraction, scaling
        As in `Autoencoder`.
    device, dtype, n_threads, random_state, verbose
        As in `Autoencoder`.

    Attributes
    ----------
    components_ : ndarray of shape (n_components_, n_features)
        The parts, in the data's units: a row is reconstructed as ``codes @ components_ +
        offset_`` where there are no hidden layers and columns are plain numbers. For tables
        with other columns as many values as these are spread into.
    offset_ : ndarray of shape (n_features,)
        What a row without any active part is.
    explained_variance_ratio_ : ndarray of shape (n_components_,)
        As in `Autoencoder` if ``nested``; else NaN, as parts have no order. What all of them
        explain is in ``curve_``.
    n_active_ : float or None
        Active parts of a held-out row, on average. Of a model by `from_dictionary` what was
        asked for when it was trained; None if that is not known.
    unit_frequency_ : ndarray of shape (n_components_,) or None
        Share of held-out rows in which each part is active. None if none were seen.
    unit_stability_ : ndarray of shape (n_components_,) or None
        Cosine of each part with its match in a dictionary from another start: near 1 where
        the rows say what the part is. None if there was no other.
    """

    def __init__(
        self,
        n_components: int | str = "auto",
        *,
        n_active: float | str = "auto",
        bottleneck: str = "batchtopk",
        positive: bool = False,
        refine: str | None = "auto",
        sparse_output: bool = True,
        nested: bool = False,
        columns: Any = None,
        hidden_layer_sizes: Any = (),
        corruption: Any = "auto",
        likelihood: Any = "auto",
        penalties: Any = "auto",
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
        super().__init__(
            n_components,  # type: ignore[arg-type]
            columns=columns,
            hidden_layer_sizes=hidden_layer_sizes,
            bottleneck=bottleneck,
            nested=nested,
            corruption=corruption,
            likelihood=likelihood,
            penalties=penalties,
            missing=missing,
            max_epochs=max_epochs,
            max_time=max_time,
            batch_size=batch_size,
            learning_rate=learning_rate,
            validation_fraction=validation_fraction,
            scaling=scaling,
            device=device,
            dtype=dtype,
            n_threads=n_threads,
            random_state=random_state,
            verbose=verbose,
        )
        self.n_active = n_active
        self.positive = positive
        self.refine = refine
        self.sparse_output = sparse_output

    @classmethod
    def from_dictionary(cls, dictionary: Dictionary | str | os.PathLike[str]) -> Self:
        """Return a fitted model of a dictionary that another project trained.

        Codes and reconstructions are those of that project: of the encoder alone, with parts
        as long as they are there. Nothing is known of how good it is: the curve is empty, and
        `score_samples` is refused.

        Parameters
        ----------
        dictionary : Dictionary or path
            Or the folder of SAELens, sparsify or dictionary_learning that holds it; see
            `autoencode.dictionary_files.read_dictionary`.

        Returns
        -------
        SparseAutoencoder
            ``bottleneck`` is how codes are chosen; "jumprelu" for "batchtopk" with several
            thresholds.

        Raises
        ------
        ModelFileError
            If the folder cannot be used.
        """
        made = dictionary if isinstance(dictionary, Dictionary) else read_dictionary(dictionary)
        n_components, n_values = made.parts.shape
        active = "auto" if made.n_active is None else made.n_active
        kind = bottleneck_of(made)
        model = cls(n_components, n_active=active, bottleneck=kind, refine=None)
        model.n_features_in_ = n_values
        model._adopt(state_of(made))
        return model

    def _assigned(
        self, rows: Rows, target: Rows | None
    ) -> tuple[dict[str, Any], Rows, Rows | None]:
        given = self.get_params()
        bottleneck, penalties = self.bottleneck, self.penalties
        if isinstance(bottleneck, str) and bottleneck in _BOTTLENECKS:
            self._check_options()
            active = self._active(rows)
            if bottleneck != _PENALISED:
                bottleneck = f"{bottleneck}:active={active!r}"
            elif penalties == "auto":
                share = active / self._length(rows)
                penalties = (f"kl_sparsity:activity={share!r}",)
        linear = not len(self.hidden_layer_sizes)
        architecture = f"dictionary:positive={bool(self.positive)}" if linear else "mlp"
        given |= {
            "n_components": self._length(rows),
            "architecture": architecture,
            "bottleneck": bottleneck,
            "penalties": penalties,
        }
        return given, rows, target

    def _length(self, rows: Rows) -> int:
        """Return the number of parts."""
        given: Any = self.n_components
        if isinstance(given, str) and given == "auto":
            return _PARTS_PER_VALUE * rows.n_features
        whole = isinstance(given, int | np.integer) and not isinstance(given, bool | np.bool_)
        if not whole or given < 1:
            raise SpecError(f"n_components={given!r} should be 'auto' or a positive whole number")
        return int(given)

    def _active(self, rows: Rows) -> float:
        """Return how many parts a row is to use."""
        length = self._length(rows)
        if isinstance(self.n_active, str) and self.n_active == "auto":
            return float(max(1.0, min(np.sqrt(length), rows.n_features / _VALUES_PER_PART)))
        active = positive("n_active", self.n_active)
        if active > length:
            raise SpecError(
                f"n_active={self.n_active!r} should be 'auto' or a positive number, at most "
                f"n_components={length}"
            )
        return active

    def _check_options(self) -> None:
        if self.refine not in ("auto", "omp", None):
            raise SpecError(f"refine={self.refine!r} should be 'auto', 'omp' or None")
        for name in ("positive", "sparse_output"):
            if not isinstance(getattr(self, name), bool | np.bool_):
                raise SpecError(f"{name}={getattr(self, name)!r} should be True or False")

    def _searched(
        self, plan: Plan, rows: Rows, target: Rows | None, held: Rows | None
    ) -> tuple[Plan, Found | None]:
        if not searchable(plan) or target is not None:
            if self.refine == "omp":
                raise SpecError(
                    "refine='omp' needs complete rows of plain numbers, no hidden layers, no "
                    f"penalties and at most {MOST_COMPONENTS} components; leave it out"
                )
            return plan, None
        free = isinstance(self.n_active, str)
        if self.refine is None and not free:
            return plan, None
        count = None if free else self._active(rows)
        size = None if isinstance(self.n_components, str) else self._length(rows)
        exact = self.bottleneck == "topk"
        plan, found = search_dictionary(plan, rows, held, Wish(size, count, exact))
        if self.refine is None:
            if found.interrupted:
                raise KeyboardInterrupt
            return plan, None
        if isinstance(self.max_epochs, str) and plan.max_time is None:
            fewest, most = _ENCODER_EPOCHS
            most = min(max(_ENCODER_ROWS // rows.n_rows, fewest), most)
            plan = replace(plan, max_epochs=min(plan.max_epochs, most))
        return plan, found

    def transform(self, X: Any) -> Any:
        """Return codes: never negative, mostly zero.

        Returns
        -------
        scipy.sparse.csr_matrix or ndarray of shape (n_samples, n_components_)
            By ``sparse_output``; of the dtype of X (float32 or 64).
        """
        rows = self._check(X)
        encoder = self._state.fitted(torch_dtype(rows.dtype)).encoder
        missing = encoder if encoder.takes_missing else None
        encode: Callable[[Tensor], Tensor] = encoder.complete
        piece = self._piece()
        if "pursuit" in self._state.facts:
            encode, piece = pursuing(encoder, self._state), PIECE
        found = sparse_codes(encode, rows, self.n_components_, piece, missing=missing)
        return found if self.sparse_output else found.toarray()

    def _reconstructed(self, rows: Rows) -> FloatArray:
        if "pursuit" not in self._state.facts:
            return super()._reconstructed(rows)
        self._require_decoder()
        fitted = self._state.fitted(torch_dtype(rows.dtype))
        encode = pursuing(fitted.encoder, self._state)
        result = np.empty((rows.n_rows, self._state.n_values), dtype=rows.dtype)
        apply(lambda x: fitted.decoder(encode(x)), rows, result, PIECE)
        return result

    def score_samples(self, X: Any) -> npt.NDArray[np.float64]:
        """Return each row's reconstruction log-likelihood; see `Autoencoder.score_samples`.

        Raises
        ------
        DataError
            If the model was not fitted here: how large errors are is not known then.
        """
        self._require_errors()
        return super().score_samples(X)

    def explain(self, X: Any) -> Any:
        """Return what each cell adds to `score_samples`; see `Autoencoder.explain`."""
        self._require_errors()
        return super().explain(X)

    def _require_errors(self) -> None:
        if np.isnan(self._state.column_errors).any():
            raise DataError(
                "how large errors are is not known: the model was not fitted here; use "
                "reconstruct and compare"
            )

    def _adopt(self, state: State) -> None:
        super()._adopt(state)
        self.n_active_ = state.facts["n_active"]
        self.unit_frequency_ = state.units.get("frequency")
        self.unit_stability_ = state.units.get("stability")
        if state.column_errors.size:  # else it holds nothing but an encoder
            self.components_, self.offset_ = _parts(state)


def _parts(state: State) -> tuple[FloatArray, FloatArray]:
    """Return the parts and the offset, in the data's units."""
    decoder = state.fitted(torch.float64).decoder
    with torch.no_grad():
        codes = torch.eye(state.n_components, dtype=torch.float64) / decoder.code_scale
        spread = decoder.decoder.linear_part(codes)  # type: ignore[operator]
        parts = spread[:, : state.n_values] * decoder.scale
        offset = decoder(torch.zeros(1, state.n_components, dtype=torch.float64))[0]
    return parts.numpy(), offset.numpy()
