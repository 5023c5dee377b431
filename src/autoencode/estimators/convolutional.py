"""Convolutional autoencoders, for pictures."""

from __future__ import annotations

from typing import Any

from autoencode.data.rows import Rows
from autoencode.errors import DataError
from autoencode.estimators.autoencoder import Autoencoder
from autoencode.planning import segments_of

__all__ = ["ConvolutionalAutoencoder"]


class ConvolutionalAutoencoder(Autoencoder):
    """Autoencoder of pictures of any height and width, never worse than PCA.

    Arrays ``(n, height, width)`` or ``(n, height, width, colours)``. Whole numbers (uint8,
    uint16) come back as such. Rows of one axis are lines of pixels: spectra and other signals.

    Parameters
    ----------
    n_components : int, float or None, default=0.95
        As in `Autoencoder`. None: no code; the model learns to restore blocks and single pixels
        that are hidden, for `restore`.
    augmentation : {"auto", "none", "shift", "shift_flip"}, default="auto"
        Whether pictures are moved by a pixel at random in training, and mirrored. "auto": each is
        tried by short trainings, and taken where it gains on held-out pictures; not tried with
        20,000 pictures or more.
    hidden_layer_sizes : "auto" or sequence of int, default="auto"
        Channels each time that height and width are halved. Empty: the linear autoencoder.
    bottleneck, nested, corruption, likelihood, penalties, missing
        As in `Autoencoder`.
    max_epochs, max_time, batch_size, learning_rate, validation_fraction, scaling
        As in `Autoencoder`.
    device, dtype, n_threads, random_state, verbose
        As in `Autoencoder`.
    """

    def __init__(
        self,
        n_components: float | None = 0.95,
        *,
        augmentation: str = "auto",
        hidden_layer_sizes: Any = "auto",
        bottleneck: Any = "plain",
        nested: Any = "auto",
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
            n_components,
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
        self.augmentation = augmentation

    def _assigned(
        self, rows: Rows, target: Rows | None
    ) -> tuple[dict[str, Any], Rows, Rows | None]:
        if segments_of(rows):
            raise DataError(
                "a convolutional autoencoder takes pictures (n, height, width) or rows of "
                "numbers, whose neighbours belong together; use Autoencoder for this table"
            )
        return self.get_params() | {"architecture": "conv"}, rows, target
