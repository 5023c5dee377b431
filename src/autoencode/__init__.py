"""Autoencoders that choose their own size and are never worse than PCA."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from autoencode._version import __version__

if TYPE_CHECKING:
    from autoencode.augmentation_gain import AugmentationGain, measure_augmentation
    from autoencode.compression.files import compress, decompress, open_compressed
    from autoencode.estimators import (
        AnomalyDetector,
        Autoencoder,
        ConvolutionalAutoencoder,
        DenoisingAutoencoder,
        Imputer,
        PictureDenoiser,
        PictureRestorer,
        SparseAutoencoder,
        VariationalAutoencoder,
    )
    from autoencode.exploration import CodeMap
    from autoencode.loading import load
    from autoencode.picture_files import Pictures, read_pictures, write_pictures
    from autoencode.sample_quality import SampleQuality, evaluate_samples

__all__ = [
    "AnomalyDetector",
    "AugmentationGain",
    "Autoencoder",
    "CodeMap",
    "ConvolutionalAutoencoder",
    "DenoisingAutoencoder",
    "Imputer",
    "PictureDenoiser",
    "PictureRestorer",
    "Pictures",
    "SampleQuality",
    "SparseAutoencoder",
    "VariationalAutoencoder",
    "__version__",
    "compress",
    "decompress",
    "evaluate_samples",
    "load",
    "measure_augmentation",
    "open_compressed",
    "read_pictures",
    "write_pictures",
]

_ESTIMATORS = (
    "AnomalyDetector",
    "Autoencoder",
    "ConvolutionalAutoencoder",
    "DenoisingAutoencoder",
    "Imputer",
    "PictureDenoiser",
    "PictureRestorer",
    "SparseAutoencoder",
    "VariationalAutoencoder",
)
_COMPRESSION = ("compress", "decompress", "open_compressed")
_GAIN = ("AugmentationGain", "measure_augmentation")
_PICTURES = ("Pictures", "read_pictures", "write_pictures")
_QUALITY = ("SampleQuality", "evaluate_samples")


def __getattr__(name: str) -> Any:
    """Import the estimators when they are first asked for: torch takes a second."""
    if name in _ESTIMATORS:
        from autoencode import estimators

        return getattr(estimators, name)
    if name in _COMPRESSION:
        from autoencode.compression import files

        return getattr(files, name)
    if name in _GAIN:
        from autoencode import augmentation_gain

        return getattr(augmentation_gain, name)
    if name in _PICTURES:
        from autoencode import picture_files

        return getattr(picture_files, name)
    if name in _QUALITY:
        from autoencode import sample_quality

        return getattr(sample_quality, name)
    if name == "CodeMap":
        from autoencode.exploration import CodeMap

        return CodeMap
    if name == "load":
        from autoencode.loading import load

        return load
    raise AttributeError(f"module 'autoencode' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
