"""What the kinds of models that have a name stand for: data only."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["PRESETS", "Preset"]


@dataclass(frozen=True)
class Preset:
    """A name for a few choices.

    Attributes
    ----------
    estimator : str
        The class of `autoencode` that makes them; what is not chosen is as its default is.
    decides : tuple of str
        Parameters of `Autoencoder` that are not to be given, because it decides them.
    takes : tuple of str
        Parameters that `Autoencoder` does not have.
    """

    estimator: str
    decides: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()


PRESETS = {
    "autoencoder": Preset("Autoencoder"),
    "denoising": Preset(
        "DenoisingAutoencoder", decides=("missing", "corruption"), takes=("noise", "rows")
    ),
    "sparse": Preset(
        "SparseAutoencoder",
        decides=("architecture",),
        takes=("n_active", "positive", "refine", "sparse_output"),
    ),
    "variational": Preset(
        "VariationalAutoencoder",
        decides=("bottleneck", "nested"),
        takes=("n_samples", "posterior", "free_bits"),
    ),
    "convolutional": Preset(
        "ConvolutionalAutoencoder",
        decides=("architecture", "columns"),
        takes=("augmentation", "aligned"),
    ),
}
