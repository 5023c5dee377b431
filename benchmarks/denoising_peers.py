"""How noise is removed without this library.

Every peer may know what a user rarely does: the noise's level, or even the clean test rows,
by which its one number is chosen (an oracle, so an upper bound of what the method can do).
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from denoising_sets import Noise, Rows, add_noise, psnr
from table_sets import Values

Peer = Callable[[Rows, Noise], float]
"""From rows and their noise to PSNR on the test rows."""

NEAREST = (0.6, 0.8, 1.0, 1.2)
"""Strengths of non-local means, in standard deviations of the noise."""

WIDTHS = {"digits": 256, "mnist": 512, "Satellite": 256, "breast_cancer": 256}
STEPS = 8_000
BATCH = 128
HELD_OUT = 0.1
FEWEST_JUDGED = 500
CHECKS = 40
PATIENCE = 8
"""Checks on held-out rows without a gain after which training ends."""


def unchanged(rows: Rows, noise: Noise) -> float:
    """Return the noisy rows themselves."""
    return psnr(rows.test, rows.noisy(noise, "test"))


def principal_components(rows: Rows, noise: Noise, training: str = "clean") -> float:
    """Project onto principal components, as many as are best for the clean test rows.

    ``training`` says which rows they are found from, ``"clean"`` or ``"noisy"`` ones.
    """
    source = rows.train if training == "clean" else rows.noisy(noise, "train")
    train = source.reshape(len(source), -1)
    centre = train.mean(0)
    axes = np.linalg.svd(train - centre, full_matrices=False)[2]
    clean = rows.test.reshape(len(rows.test), -1) - centre
    noisy = rows.noisy(noise, "test").reshape(clean.shape) - centre
    codes = noisy @ axes.T
    # Squared error of every prefix: each component takes its clean part away and adds its
    # own error.
    wanted = clean @ axes.T
    changes = ((codes - wanted) ** 2 - wanted**2).sum(0)
    errors = (clean**2).sum() + np.concatenate([[0.0], np.cumsum(changes)])
    return float(-10 * np.log10(errors.min() / clean.size))


def wavelets(rows: Rows, noise: Noise) -> float:
    """Shrink wavelet coefficients (BayesShrink, soft), the noise's size given."""
    from skimage.restoration import denoise_wavelet

    noisy = rows.noisy(noise, "test")
    sigma = _size(rows.test, noisy)
    restored = [denoise_wavelet(picture, sigma=sigma) for picture in noisy]
    return psnr(rows.test, np.array(restored))


def non_local_means(rows: Rows, noise: Noise) -> float:
    """Average like patches, the noise's size given, the strength by the clean test rows."""
    from skimage.restoration import denoise_nl_means

    noisy = rows.noisy(noise, "test")
    sigma = _size(rows.test, noisy)
    small = noisy.shape[1] < 16
    options = {"patch_size": 3 if small else 5, "patch_distance": 3 if small else 6}
    results = []
    for strength in NEAREST:
        restored = [
            denoise_nl_means(picture, h=strength * sigma, sigma=sigma, **options)
            for picture in noisy
        ]
        results.append(psnr(rows.test, np.array(restored)))
    return max(results)


def median(rows: Rows, noise: Noise) -> float:
    """Take the median of 3 by 3 pixels."""
    from scipy.ndimage import median_filter

    return psnr(rows.test, median_filter(rows.noisy(noise, "test"), (1, 3, 3)))


def _size(clean: Values, noisy: Values) -> float:
    """Return the root mean squared noise."""
    return float(np.sqrt(np.mean((noisy - clean) ** 2)))


class Denoiser(nn.Module):
    """Two hidden layers and a linear path beside them, on standardised rows.

    Parameters
    ----------
    train : Tensor
        Clean training rows ``(rows, values)``; their mean and one common scale are kept.
    width : int
        Of the hidden layers.
    """

    def __init__(self, train: Tensor, width: int) -> None:
        super().__init__()
        values = train.shape[1]
        self.register_buffer("centre", train.mean(0))
        self.register_buffer("scale", (train - train.mean(0)).square().mean().sqrt())
        self.linear = nn.Linear(values, values)
        last = nn.Linear(width, values)
        layers = (nn.Linear(values, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), last)
        self.hidden = nn.Sequential(*layers)
        # It starts as the noisy rows themselves, else weak noise is never beaten.
        nn.init.eye_(self.linear.weight)
        for weights in (self.linear.bias, last.weight, last.bias):
            nn.init.zeros_(weights)

    def forward(self, noisy: Tensor) -> Tensor:
        """Return restored rows."""
        x = (noisy - self.centre) / self.scale
        return (self.linear(x) + self.hidden(x)) * self.scale + self.centre


def train_denoiser(rows: Rows, noise: Noise) -> Callable[[Values], Values]:
    """Train a plain denoising autoencoder on clean rows, with fresh noise at every step.

    AdamW with a cosine schedule; the weights of the step that is best on held-out rows are
    kept, and training ends early where they do not get better.

    Returns
    -------
    callable
        From noisy to restored rows, of the same shape.
    """
    flat = rows.train.reshape(len(rows.train), -1)
    held, train = np.split(flat, [round(HELD_OUT * len(flat))])
    model = _untrained(train, rows)
    # Few rows are judged under several draws of noise.
    held = np.tile(held, (-(-FEWEST_JUDGED // len(held)), 1))
    rng = np.random.default_rng([rows.seed, 3])
    limits = rows.limits
    held_noisy = _tensor(add_noise(held, noise, limits, rng))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=1e-4, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    best, kept, since = np.inf, copy.deepcopy(model.state_dict()), 0
    for step in range(1, STEPS + 1):
        clean = train[rng.integers(0, len(train), BATCH)]
        noisy = _tensor(add_noise(clean, noise, limits, rng))
        loss = (model(noisy) - _tensor(clean)).square().mean() / model.scale**2
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % (STEPS // CHECKS):
            continue
        with torch.no_grad():
            error = float((model(held_noisy) - _tensor(held)).square().mean())
        if error < best:
            best, kept, since = error, copy.deepcopy(model.state_dict()), 0
        else:
            since += 1
        if since == PATIENCE:
            break
    model.load_state_dict(kept)
    return lambda noisy: _restored(model, noisy)


def _untrained(train: Values, rows: Rows) -> Denoiser:
    """Return a network whose first weights the seed draws; the global generator is put back."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(rows.seed)
        return Denoiser(_tensor(train), WIDTHS[rows.name])


def _restored(model: Denoiser, noisy: Values) -> Values:
    with torch.no_grad():
        return model(_tensor(noisy.reshape(len(noisy), -1))).numpy().reshape(noisy.shape)


def _tensor(values: Values) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))


PEERS: dict[str, Peer] = {
    "input": unchanged,
    "PCA": principal_components,
    "PCA of noisy": lambda rows, noise: principal_components(rows, noise, "noisy"),
}
PICTURE_PEERS: dict[str, Peer] = {
    "wavelets": wavelets,
    "non-local means": non_local_means,
    "median": median,
}
