"""Variational autoencoders: codes with a prior, and rows with a likelihood."""

from __future__ import annotations

from typing import Any

import numpy as np

from autoencode.bottlenecks.gaussian import POSTERIORS
from autoencode.data.rows import Rows
from autoencode.defaults import positive
from autoencode.errors import SpecError
from autoencode.estimators.autoencoder import Autoencoder
from autoencode.state import State

__all__ = ["VariationalAutoencoder"]

_EXPLAINED = 0.95


class VariationalAutoencoder(Autoencoder):
    """Autoencoder that says how likely rows are, never worse than probabilistic PCA.

    Codes are drawn from a posterior while it learns (Kingma and Welling, 2014), and are its
    mean in `transform`, which is never random. Training starts as probabilistic PCA, whose
    exact log-likelihood of held-out rows is the floor: where the network does not exceed it by
    more than a standard error, that is the model. Where columns are not all plain numbers the
    floor is the same likelihood without a code.

    Parameters
    ----------
    n_components : int, float or "auto", default="auto"
        Length of the code; or as many as PCA needs to explain this share of the variance of
        held-out rows, 64 at most. "auto" is 0.95. Units that turn out not to be needed stay
        at their prior, and are counted as not active.
    n_samples : int, default=1
        Draws of each row in training. More than one: the importance-weighted bound (Burda et
        al., 2016), with the gradient of Tucker et al. (2019).
    posterior : {"gaussian", "flow"}, default="gaussian"
        "flow": normal draws are moved by coupling layers that know the row.
    free_bits : float or None, default=None
        Nats of each unit that cost nothing in training (Kingma et al., 2016). A collapse is
        mended without it: see ``bounds_``.
    columns, hidden_layer_sizes, architecture, corruption, likelihood, penalties
        As in `Autoencoder`; "auto" likelihoods have learned scales, and "auto" layers are no
        wider than rows are many.
    conditional, missing
        As in `Autoencoder`.
    max_epochs, max_time, batch_size, learning_rate, validation_fraction, scaling
        As in `Autoencoder`.
    device, dtype, n_threads, random_state, verbose
        As in `Autoencoder`.

    Attributes
    ----------
    bounds_ : dict
        On rows that nothing saw, nats per row in the data's units: ``elbo``; ``bound``, the
        importance-weighted bound by 500 draws, with its standard error ``bound_error``;
        ``gap`` between them; ``rate`` (of the code) and ``distortion`` (of the values), which
        add up to minus ``elbo``; ``floor`` and ``floor_kind`` ("ppca" or "independent");
        ``active``, units whose posterior mean has a variance above 0.01; and ``collapse``:
        None, or what was done where units had collapsed that rows have a use for.
    n_active_ : int
        That number of active units.
    """

    def __init__(
        self,
        n_components: float | str = "auto",
        *,
        n_samples: int = 1,
        posterior: str = "gaussian",
        free_bits: float | None = None,
        columns: Any = None,
        hidden_layer_sizes: Any = "auto",
        architecture: Any = "auto",
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
        super().__init__(
            n_components,  # type: ignore[arg-type]
            columns=columns,
            hidden_layer_sizes=hidden_layer_sizes,
            architecture=architecture,
            corruption=corruption,
            likelihood=likelihood,
            penalties=penalties,
            conditional=conditional,
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
        self.n_samples = n_samples
        self.posterior = posterior
        self.free_bits = free_bits

    def _assigned(
        self, rows: Rows, target: Rows | None
    ) -> tuple[dict[str, Any], Rows, Rows | None]:
        count = int(positive("n_samples", self.n_samples, whole=True, other="one"))
        if self.posterior not in POSTERIORS:
            raise SpecError(f"posterior={self.posterior!r} should be 'gaussian' or 'flow'")
        options = f"n_samples={count},posterior={self.posterior}"
        if self.free_bits is not None:
            free = positive("free_bits", self.free_bits, other="None")
            options += f",free_bits={free!r}"
        given = self.get_params() | {
            "n_components": self._asked(),
            "bottleneck": f"gaussian:{options}",
            "nested": False,
        }
        return given, rows, target

    def _asked(self) -> int | float:
        """Return the asked length or share."""
        asked: Any = self.n_components
        if isinstance(asked, str) and asked == "auto":
            return _EXPLAINED
        numeric = isinstance(asked, int | float | np.number)
        if not numeric or isinstance(asked, bool | np.bool_):
            raise SpecError(
                f"n_components={asked!r} should be 'auto', a whole number or a share of variance "
                "in (0, 1)"
            )
        return asked  # type: ignore[no-any-return]

    def _adopt(self, state: State) -> None:
        super()._adopt(state)
        self.bounds_ = {
            name: value
            for name, value in state.facts.get("likelihood", {}).items()
            if name != "total"
        }
        self.n_active_ = self.bounds_.get("active")
