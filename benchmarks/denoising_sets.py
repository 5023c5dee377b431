"""The rows of the denoising benchmark, and the noise that is put on them.

Which sets, rows, kinds and levels are used was fixed before any result was seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from table_sets import Values, load_table, numeric_columns

PICTURES = ("digits", "mnist")
SETS = (*PICTURES, "Satellite", "breast_cancer")
TEST_ROWS = {"digits": 500, "mnist": 1_000, "Satellite": 1_435, "breast_cancer": 169}
MOST_TRAINING_ROWS = 5_000
QUICK_ROWS = (200, 50)

SHARES = (0.05, 0.1, 0.2, 0.4)
PICTURE_LEVELS = (15 / 255, 25 / 255, 50 / 255, 75 / 255)
TABLE_LEVELS = (0.1, 0.2, 0.4, 0.8)


@dataclass(frozen=True)
class Noise:
    """What is done to values, independently of each other.

    Attributes
    ----------
    kind : str
        ``"gaussian"``: normal noise is added. The others change a share of the values:
        ``"salt_pepper"`` to the least or the greatest value, as likely, ``"mask"`` to 0,
        ``"swap"`` to another row's value in the same column.
    level : float
        Standard deviation in the data's units, or the share of changed values.
    """

    kind: str
    level: float

    @property
    def name(self) -> str:
        """Return kind and level, as in tables and files."""
        return f"{self.kind} {self.level:.3g}"


def noises(name: str) -> tuple[Noise, ...]:
    """Return the three kinds of noise of a set, each at four levels."""
    pictures = name in PICTURES
    levels = PICTURE_LEVELS if pictures else TABLE_LEVELS
    other = "mask" if pictures else "swap"
    gaussian = [Noise("gaussian", level) for level in levels]
    return (*gaussian, *(Noise(kind, share) for kind in ("salt_pepper", other) for share in SHARES))


@dataclass(frozen=True)
class Rows:
    """Clean rows in two parts.

    Attributes
    ----------
    name : str
        Of the set.
    train, test : ndarray of float64
        ``(rows, height, width)`` in [0, 1], or ``(rows, columns)`` standardised by the
        training rows.
    seed : int
        For whatever is random.
    """

    name: str
    train: Values
    test: Values
    seed: int

    @property
    def is_pictures(self) -> bool:
        """Return whether the rows are pictures."""
        return self.train.ndim == 3

    def noisy(self, noise: Noise, part: str) -> Values:
        """Return one part with noise; the same at every call.

        Parameters
        ----------
        noise : Noise
            What is done.
        part : {"train", "test"}
            Each has noise of its own.
        """
        clean = self.train if part == "train" else self.test
        key = [self.seed, part == "test", noises(self.name).index(noise)]
        return add_noise(clean, noise, self.limits, np.random.default_rng([*map(int, key), 7]))

    @property
    def limits(self) -> tuple[Values, Values]:
        """Return the least and the greatest value: of pictures 0 and 1, else by column."""
        if self.is_pictures:
            return np.zeros(1), np.ones(1)
        return self.train.min(0), self.train.max(0)


def add_noise(
    clean: Values, noise: Noise, limits: tuple[Values, Values], rng: np.random.Generator
) -> Values:
    """Return rows with noise.

    Parameters
    ----------
    clean : ndarray
        ``(rows, ...)``.
    noise : Noise
        What is done.
    limits : pair of ndarray
        The values of pepper and salt, which broadcast to a row.
    rng : numpy.random.Generator
        Draws it.
    """
    if noise.kind == "gaussian":
        return clean + noise.level * rng.standard_normal(clean.shape)
    changed = rng.random(clean.shape) < noise.level
    if noise.kind == "mask":
        return np.where(changed, 0.0, clean)
    if noise.kind == "salt_pepper":
        return np.where(changed, np.where(rng.random(clean.shape) < 0.5, *limits), clean)
    # Another row of every column: never the row itself.
    other = np.arange(len(clean))[:, None] + rng.integers(1, len(clean), clean.shape)
    return np.where(changed, np.take_along_axis(clean, other % len(clean), axis=0), clean)


def load(
    name: str, data: Path, seed: int, most_rows: int = MOST_TRAINING_ROWS, *, quick: bool = False
) -> Rows:
    """Return the rows of a set, split by the seed; at most so many to train on."""
    rng = np.random.default_rng([seed, 0])
    n_train, n_test = QUICK_ROWS if quick else (most_rows, TEST_ROWS[name])
    if name == "mnist":
        with np.load(data / "mnist.npz", allow_pickle=False) as archive:
            train, test = (
                archive[f"x_{part}"][rng.permutation(len(archive[f"x_{part}"]))[:count]] / 255
                for part, count in (("train", n_train), ("test", n_test))
            )
        return Rows(name, train, test, seed)
    if name == "digits":
        from sklearn.datasets import load_digits

        values = load_digits().images / 16
    else:
        table = numeric_columns(load_table(name, data, seed))
        values = np.column_stack([table[column].to_numpy() for column in table.column_names])
    values = values.astype(np.float64)[rng.permutation(len(values))]
    test, train = values[:n_test], values[n_test : n_test + n_train]
    if name not in PICTURES:
        centre, scale = train.mean(0), train.std(0)
        train, test = (train - centre) / scale, (test - centre) / scale
    return Rows(name, train, test, seed)


def psnr(clean: Values, restored: Values) -> float:
    """Return the peak signal-to-noise ratio in dB: -10 log10 of the mean squared error.

    The range is 1: that of pictures, and the standard deviation of a table's columns.
    """
    return float(-10 * np.log10(np.mean((clean - restored) ** 2)))
