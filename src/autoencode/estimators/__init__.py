"""The scikit-learn faces."""

from __future__ import annotations

from autoencode.estimators.anomaly import AnomalyDetector
from autoencode.estimators.autoencoder import Autoencoder
from autoencode.estimators.convolutional import ConvolutionalAutoencoder
from autoencode.estimators.denoising import DenoisingAutoencoder
from autoencode.estimators.imputer import Imputer
from autoencode.estimators.pictures import PictureDenoiser
from autoencode.estimators.restoring import PictureRestorer
from autoencode.estimators.sparse import SparseAutoencoder
from autoencode.estimators.variational import VariationalAutoencoder

__all__ = [
    "AnomalyDetector",
    "Autoencoder",
    "ConvolutionalAutoencoder",
    "DenoisingAutoencoder",
    "Imputer",
    "PictureDenoiser",
    "PictureRestorer",
    "SparseAutoencoder",
    "VariationalAutoencoder",
]
