"""Holes in pictures of any size filled."""

from __future__ import annotations

import os
from typing import Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from autoencode.errors import DataError
from autoencode.estimators.whole_pictures import PictureEstimator, pictures_given
from autoencode.inpainting import holes_of
from autoencode.pictures.hole_fit import fit_holes
from autoencode.pictures.wishes import PictureWishes

__all__ = ["PictureRestorer"]

_WIDTHS = (32, 48, 64, 96)


class PictureRestorer(PictureEstimator):
    """Fill holes in pictures of any size, by a network that starts from a smooth filling.

    A residual network with skip connections, without a code. It is trained on parts of whole
    pictures, in which up to four blocks are hidden, or single pixels, 5% to 60% of a part. It is
    shown the parts with their holes filled smoothly, and where these were; it adds what is
    missing there. Pictures are grey, ``(height, width)``, or ``(height, width, colours)`` with
    any number of colours, as in the fit.

    For small pictures that are all of one kind `ConvolutionalAutoencoder` with
    ``n_components=None`` is better: it knows what is where.

    Parameters
    ----------
    hidden_layer_sizes : "auto" or sequence of int, default="auto"
        Channels each time that sides are halved, the first at half of a picture's size; "auto"
        is ``(32, 48, 64, 96)``.
    max_epochs : "auto" or int, default="auto"
        Passes over the pictures, of 50 steps at least; "auto" is about 6,000 steps in all.
    max_time : float or None, default=None
        Seconds of fitting. Results under a time budget are not reproducible bit by bit.
    batch_size : "auto" or int, default="auto"
        Parts of 64 x 64 pixels per step; "auto" is 8.
    learning_rate : "auto" or float, default="auto"
        Highest rate of the schedule; "auto" is 0.002.
    validation_fraction : float, default=0.1
        Share held out: whole pictures if there are at least 5, else the lower part of each.
    device : str, default="auto"
        Where to train.
    n_threads : "auto" or int, default="auto"
        The most threads inside one operator while training.
    random_state : int, RandomState instance or None, default=None
        The only source of randomness; the same seed gives the same bits on one machine.
    verbose : bool or callable, default=False
        As in `Autoencoder`.

    Attributes
    ----------
    stop_reason_ : str
        "no further gain", "budget" or "interrupted".
    history_ : dict of str to list
        One entry per epoch.
    """

    def __init__(
        self,
        *,
        hidden_layer_sizes: Any = "auto",
        max_epochs: Any = "auto",
        max_time: float | None = None,
        batch_size: Any = "auto",
        learning_rate: Any = "auto",
        validation_fraction: float = 0.1,
        device: Any = "auto",
        n_threads: Any = "auto",
        random_state: Any = None,
        verbose: Any = False,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.max_epochs = max_epochs
        self.max_time = max_time
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.validation_fraction = validation_fraction
        self.device = device
        self.n_threads = n_threads
        self.random_state = random_state
        self.verbose = verbose

    def fit(
        self, X: Any, y: Any = None, *, checkpoint: str | os.PathLike[str] | None = None
    ) -> Self:
        """Fit to whole pictures.

        Parameters
        ----------
        X : sequence of ndarray, or ndarray of shape (n, height, width[, colours])
            Pictures, of any sizes; a side has 16 pixels at least.
        y : object, ignored
            For pipelines.
        checkpoint : path, optional
            File that keeps the state of training, in case the fit is interrupted. If it
            exists, the fit goes on from there, to the same bits as without the
            interruption. It is removed when the fit is complete.

        Returns
        -------
        PictureRestorer
            Itself.

        Raises
        ------
        DataError
            If pictures cannot be used.
        SpecError
            If a parameter is not allowed, or the checkpoint is that of another fit.
        """
        wishes = PictureWishes(**self._shared_wishes(_WIDTHS))
        pictures = pictures_given(X, "X")
        return self._fitted(
            {"X": pictures}, lambda kept: fit_holes(pictures, wishes, kept), checkpoint
        )

    def restore(self, X: Any, mask: Any = None) -> Any:
        """Fill holes in pictures; every other pixel stays as it is, bit by bit.

        Parameters
        ----------
        X : ndarray or sequence of ndarray
            One picture, several of any sizes, or an array of them; NaN is a hole too.
        mask : ndarray of bool, or sequence of them, optional
            True where to fill: ``(height, width)`` or the shape of a picture, one for each
            picture; one of ``(height, width)`` alone is for all of them.

        Returns
        -------
        ndarray or list of ndarray
            As the pictures were given; whole numbers are rounded, and stay in their range.

        Raises
        ------
        DataError
            If a picture has other channels than those of the fit, is one hole, or a mask does
            not fit.
        """
        check_is_fitted(self, "_model")
        one = self._is_one(X)
        pictures = [X] if one else pictures_given(X, "X")
        masks = [mask] if one else _masks(mask, len(pictures))
        results = []
        for picture, given in zip(pictures, masks, strict=True):
            if (1 if picture.ndim == 2 else picture.shape[2]) != self._model.n_colours:
                raise DataError(
                    f"a picture has the shape {picture.shape}, but the model knows pictures of "
                    f"{self._model.n_colours} colours"
                )
            hole = None if given is None else np.asarray(given)
            hole = hole[None] if hole is not None and hole.ndim == 3 else hole
            results.append(self._model.restored(picture, holes_of(picture[None], hole)[0]))
        if one:
            return results[0]
        return np.stack(results) if isinstance(X, np.ndarray) else results

    def summary(self) -> str:
        """Return a few lines on what was fitted, and how good it is on held-out pictures."""
        check_is_fitted(self, "_model")
        facts, n_colours = self._model.facts, self._model.n_colours
        colours = "grey" if n_colours == 1 else f"{n_colours} colours"
        lines = [
            f"Fills holes in pictures of any size, {colours}.",
            f"{facts['n_pictures']:,} pictures, {facts['n_pixels']:,} pixels; "
            f"{facts['seconds']:.1f} s; stopped: {facts['stop_reason']}.",
        ]
        for row in facts["held_out"]:
            lines.append(
                f"Held out, {row['share']:.0%} missing in {row['holes']}: PSNR of what is filled "
                f"{row['restored']:.2f} dB (smoothly {row['smooth']:.2f})."
            )
        return "\n".join(lines)


def _masks(mask: Any, count: int) -> list[Any]:
    """Return one mask for each picture."""
    if mask is None or (isinstance(mask, np.ndarray) and mask.ndim == 2):
        return [mask] * count
    found = list(mask)
    if len(found) != count:
        raise DataError(
            f"there are {len(found)} masks for {count} pictures: give one for each, or one "
            "(height, width) for all"
        )
    return found
