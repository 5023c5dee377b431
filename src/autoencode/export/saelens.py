"""A fitted sparse autoencoder as a folder that SAELens loads."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sklearn.utils.validation import check_is_fitted

from autoencode._version import __version__
from autoencode.dictionary_files import write_saelens
from autoencode.dictionary_state import dictionary_of

if TYPE_CHECKING:
    from autoencode.estimators import Autoencoder

__all__ = ["export_saelens"]


def export_saelens(
    model: Autoencoder,
    path: str | os.PathLike[str],
    *,
    metadata: Mapping[str, Any] | None = None,
    force: bool = False,
) -> None:
    """Write a fitted sparse autoencoder as a folder for ``SAE.load_from_disk`` of SAELens 6.

    It takes rows in the data's units: centring and scaling are part of the weights. Codes
    are those of the encoder alone, whether or not the model refines them.

    Parameters
    ----------
    model : Autoencoder
        Fitted: a `SparseAutoencoder` of rows of numbers, without hidden layers.
    path : path
        The folder; the folder around it must exist.
    metadata : mapping, optional
        What else is known, such as ``model_name`` and ``hook_name``; JSON.
    force : bool, default=False
        Whether an existing folder of this form may be replaced.

    Raises
    ------
    DataError
        If the model is something else, or the folder exists or cannot be written.
    SpecError
        If the metadata is not JSON or uses a name that is set here, or a weight is too
        large for float32.
    """
    check_is_fitted(model)
    dictionary = dictionary_of(model._state)
    known = {"trained_with": f"autoencode {__version__}", **(metadata or {})}
    write_saelens(path, dictionary, known, force=force)
