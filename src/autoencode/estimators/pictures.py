"""Noise out of pictures of any size."""

from __future__ import annotations

import os
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.utils.validation import check_is_fitted

from autoencode import defaults
from autoencode.errors import DataError, SpecError
from autoencode.estimators.whole_pictures import PictureEstimator, pictures_given, whole_or_auto
from autoencode.pictures.fit import Wishes, fit_pictures
from autoencode.pictures.model import PictureModel
from autoencode.pictures.summary import describe_pictures

__all__ = ["PictureDenoiser"]

_WIDTHS, _BLOCKS = (32, 48, 64), 1


class PictureDenoiser(PictureEstimator):
    """Take noise out of pictures of any size, by a network that knows every strength of it.

    A residual network with skip connections, trained on parts of the pictures; it is told how
    strong the noise is. Three situations, told by what ``fit`` is given: pairs of noisy and
    clean pictures (``target``); clean pictures, to which normal noise of 0 to 75/255 of white is
    added; noisy pictures alone. Pictures are grey, ``(height, width)``, or
    ``(height, width, colours)`` with any number of colours, as in the fit. Whole numbers (uint8,
    uint16) come back as such; white is then the largest of them, else 1, 255 or the largest value.

    Parameters
    ----------
    rows : {"auto", "clean", "noisy"}, default="auto"
        What the pictures given to ``fit`` are; "auto": noisy if at least half of them seem to
        have noise of 12/255 of white or more, which is more than what texture alone looks like.
    hidden_layer_sizes : "auto" or sequence of int, default="auto"
        Channels each time that sides are halved, the first at half of a picture's size; "auto"
        is ``(32, 48, 64)``.
    n_blocks : "auto" or int, default="auto"
        Residual blocks of two convolutions at each size, on the way down and on the way up;
        "auto" is 1.
    max_epochs : "auto" or int, default="auto"
        Passes over the pictures, of 50 steps at least; "auto" is about 8,000 steps in all.
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
    situation_ : {"pairs", "clean", "noisy"}
        What the model was fitted to.
    noise_ : Noise
        What noise the pictures of ``fit`` had: of kind "none" for clean ones, else its
        deviation in the data's units (the median over pictures, if they are noisy alone).
    stop_reason_ : str
        "no further gain", "budget" or "interrupted".
    history_ : dict of str to list
        One entry per epoch.
    """

    def __init__(
        self,
        *,
        rows: str = "auto",
        hidden_layer_sizes: Any = "auto",
        n_blocks: Any = "auto",
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
        self.rows = rows
        self.hidden_layer_sizes = hidden_layer_sizes
        self.n_blocks = n_blocks
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
        self,
        X: Any,
        y: Any = None,
        *,
        target: Any = None,
        checkpoint: str | os.PathLike[str] | None = None,
    ) -> Self:
        """Fit to clean pictures, noisy pictures, or pairs of both.

        Parameters
        ----------
        X : sequence of ndarray, or ndarray of shape (n, height, width[, colours])
            Pictures, of any sizes.
        y : object, ignored
            For pipelines.
        target : like X, optional
            The same pictures without noise.
        checkpoint : path, optional
            File that keeps the state of training, in case the fit is interrupted. If it
            exists, the fit goes on from there, to the same bits as without the
            interruption. It is removed when the fit is complete.

        Returns
        -------
        PictureDenoiser
            Itself.

        Raises
        ------
        DataError
            If pictures cannot be used.
        SpecError
            If a parameter is not allowed, or the checkpoint is that of another fit.
        """
        wishes = self._wishes()
        pictures = pictures_given(X, "X")
        targets = None if target is None else pictures_given(target, "target")
        if targets is not None and len(targets) != len(pictures):
            raise DataError(
                f"target has {len(targets)} pictures, X has {len(pictures)}: they should be the "
                "same"
            )
        sources = {"X": pictures, "target": targets}
        return self._fitted(
            sources, lambda kept: fit_pictures(pictures, targets, wishes, kept), checkpoint
        )

    def _wishes(self) -> Wishes:
        if self.rows not in ("auto", "clean", "noisy"):
            raise SpecError(f"rows={self.rows!r} is not known; choose from auto, clean, noisy")
        blocks = _BLOCKS if self.n_blocks == "auto" else whole_or_auto("n_blocks", self.n_blocks)
        return Wishes(**self._shared_wishes(_WIDTHS), rows=self.rows, blocks=blocks)

    def _adopt(self, model: PictureModel) -> None:
        super()._adopt(model)
        self.situation_ = model.situation
        self.noise_ = model.noise

    def denoise(self, X: Any, *, level: float | None = None, adapt: int = 0) -> Any:
        """Take the noise out of pictures, piece by piece: memory does not grow with their size.

        Parameters
        ----------
        X : ndarray or sequence of ndarray
            One picture, several of any sizes, or an array of them.
        level : float, optional
            Standard deviation of the noise, in the data's units; without it, that of each
            picture is estimated.
        adapt : int, default=0
            So many steps the network is fitted further to each picture before it restores it:
            to what it restored first, with fresh noise. It finds patterns that repeat, as
            in text or bricks. 200 are a fair number; 0: none. The model stays as it is.

        Returns
        -------
        ndarray or list of ndarray
            As the pictures were given.

        Raises
        ------
        DataError
            If a picture has other channels than those of the fit, or missing values.
        SpecError
            If the level is not a positive number, or steps are asked for that the model cannot
            take: one fitted to pairs of other than normal noise.
        """
        return self.denoise_with_levels(X, level=level, adapt=adapt)[0]

    def denoise_with_levels(
        self, X: Any, *, level: float | None = None, adapt: int = 0
    ) -> tuple[Any, npt.NDArray[np.float64]]:
        """Return the same, and the deviation of each picture's noise; see `denoise`."""
        check_is_fitted(self, "_model")
        if level is not None:
            level = defaults.positive("level", level, other="None")
        steps = self._steps(adapt)
        one = self._is_one(X)
        pictures = [X] if one else pictures_given(X, "X")
        pairs = [self._model.denoised(picture, level, steps) for picture in pictures]
        levels = np.array([found for _, found in pairs])
        results = [result for result, _ in pairs]
        if one:
            return results[0], levels
        return (np.stack(results) if isinstance(X, np.ndarray) else results), levels

    def _steps(self, adapt: Any) -> int:
        """Return how many steps of fitting to each picture are asked for, and can be taken."""
        zero = isinstance(adapt, int | np.integer) and not isinstance(adapt, bool) and adapt == 0
        steps = 0 if zero else int(defaults.positive("adapt", adapt, whole=True, other="0"))
        if steps and not self._model.adapts:
            raise SpecError(
                f"adapt={steps} needs normal noise, but the model learned another from pairs: "
                "leave adapt out"
            )
        return steps

    def summary(self) -> str:
        """Return a few lines on what was fitted, and how good it is on held-out pictures."""
        check_is_fitted(self, "_model")
        return describe_pictures(self._model)
