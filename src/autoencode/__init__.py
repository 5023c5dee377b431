"""Autoencoders that choose their own size and are never worse than PCA."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from autoencode._version import __version__

if TYPE_CHECKING:
    from autoencode.augmentation_gain import AugmentationGain, measure_augmentation
    from autoencode.estimators import (
        AnomalyDetector,
        Autoencoder,
        DenoisingAutoencoder,
        Imputer,
        SparseAutoencoder,
        VariationalAutoencoder,
    )
    from autoencode.loading import load
    from autoencode.sample_quality import SampleQuality, evaluate_samples

__all__ = [
    "AnomalyDetector",
    "AugmentationGain",
    "Autoencoder",
    "DenoisingAutoencoder",
    "Imputer",
    "SampleQuality",
    "SparseAutoencoder",
    "VariationalAutoencoder",
    "__version__",
    "evaluate_samples",
    "load",
    "measure_augmentation",
]

_ESTIMATORS = (
    "AnomalyDetector",
    "Autoencoder",
    "DenoisingAutoencoder",
    "Imputer",
    "SparseAutoencoder",
    "VariationalAutoencoder",
)
_GAIN = ("AugmentationGain", "measure_augmentation")
_QUALITY = ("SampleQuality", "evaluate_samples")


def __getattr__(name: str) -> Any:
    """Import the estimators when they are first asked for: torch takes a second."""
    if name in _ESTIMATORS:
        from autoencode import estimators

        return getattr(estimators, name)
    if name in _GAIN:
        from autoencode import augmentation_gain

        return getattr(augmentation_gain, name)
    if name in _QUALITY:
        from autoencode import sample_quality

        return getattr(sample_quality, name)
    if name == "load":
        from autoencode.loading import load

        return load
    raise AttributeError(f"module 'autoencode' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
