"""Parts of pictures, drawn anew for every step, with noise."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from autoencode.errors import DataError
from autoencode.interfaces import Batch

__all__ = ["MOST_LEVEL", "CropBatches", "Crops", "on_device"]

MOST_LEVEL = 75 / 255
"""Deviation of the strongest noise that is learned from clean pictures; white is 1."""
_COLOURS, _GREY = 3, 0.25
_HELD_WHOLE = 5
"""Share of the parts of pictures of three colours that are made grey, with noise that is too."""
_DOUBLED = (0.5, 1.0)
"""How much of their own level noisy pictures get once more, least and most: little leaves more to
see, much makes what they are compared with less noisy."""
_HALVED = {"added": 0.25, "doubled": 0.5, "given": 0.0}
"""Share of the parts whose sides are halved, by what is known; low levels of noise come of it."""


@dataclass(frozen=True)
class Crops:
    """Pictures to draw parts from.

    Attributes
    ----------
    pictures : sequence of Tensor
        ``(n_colours, height, width)`` each; no side is less than that of the parts.
    targets : sequence of Tensor or None
        What is to come out; None: the pictures, or what is known of them.
    levels : Tensor
        ``(n_pictures,)``: deviation of the noise that each has.
    noise : str
        "added": pictures are clean, and noise of any level is added. "given": pictures have it,
        and targets have none. "doubled": pictures have noise, and nothing else is known.
        They get more of it, and what comes out is compared with the pictures less that noise
        over its share: both noises together do not correlate with what was taken away, so that
        the expected error is that against clean pictures, but for a constant (Pang et al.,
        2021, theorem 1).
    side : int
        Of the parts.
    areas : sequence of tuple of int
        Where each lies in what the fit was given: number of the picture, top, left, height,
        width; empty where nobody asks.
    """

    pictures: Sequence[Tensor]
    targets: Sequence[Tensor] | None
    levels: Tensor
    noise: str
    side: int
    areas: Sequence[tuple[int, ...]] = ()

    @property
    def n_pixels(self) -> int:
        """How large the pictures are together."""
        return sum(math.prod(picture.shape[1:]) for picture in self.pictures)

    def chosen(self, places: Sequence[int]) -> Crops:
        """Return some of the pictures."""
        return replace(
            self,
            pictures=[self.pictures[place] for place in places],
            targets=None if self.targets is None else [self.targets[place] for place in places],
            levels=self.levels[list(places)],
            areas=[self.areas[place] for place in places],
        )

    def rows(self, spans: Sequence[slice]) -> Crops:
        """Return a part of each picture, by its rows of pixels."""
        parts = [
            [p[:, span] for p, span in zip(group, spans, strict=True)]
            for group in (self.pictures, self.targets or ())
            if group
        ]
        areas = [
            (number, top + span.indices(height)[0], left, len(range(*span.indices(height))), width)
            for (number, top, left, height, width), span in zip(self.areas, spans, strict=True)
        ]
        targets = None if self.targets is None else parts[1]
        return replace(self, pictures=parts[0], targets=targets, areas=areas)

    def parted(self, fraction: float, rng: torch.Generator) -> tuple[Crops, Crops]:
        """Hold out some of the pictures, or the lower part of each where they are few.

        Parameters
        ----------
        fraction : float
            How much is held out, of 1.
        rng : torch.Generator
            Of which pictures these are.

        Returns
        -------
        tuple of Crops
            What is left to fit to, and what is held out.

        Raises
        ------
        DataError
            If the pictures are few and too low to be divided.
        """
        count = len(self.pictures)
        if count >= _HELD_WHOLE:
            order = torch.randperm(count, generator=rng).tolist()
            n_held = max(1, round(fraction * count))
            return self.chosen(order[n_held:]), self.chosen(order[:n_held])
        heights = [picture.shape[1] for picture in self.pictures]
        ends = [height - max(self.side, round(fraction * height)) for height in heights]
        if min(ends) < self.side:
            raise DataError(
                f"{count} pictures of fewer than {2 * self.side} rows of pixels are too few to "
                f"hold a part out: give {_HELD_WHOLE} pictures, or larger ones"
            )
        lower = [slice(end, None) for end in ends]
        return self.rows([slice(0, end) for end in ends]), self.rows(lower)

    def draw(self, count: int, rng: torch.Generator) -> tuple[Batch, Batch]:
        """Return ``count`` parts from places drawn at random, turned and mirrored, and targets.

        Of pictures without pairs, some parts are of the mean of 2 x 2 pixels, which halves normal
        noise and keeps it white.
        """
        # Twice as large a picture counts 1.4 times as much: else small ones are hardly seen.
        chances = torch.tensor([math.prod(p.shape[1:]) ** 0.5 for p in self.pictures])
        chosen = torch.multinomial(chances, count, replacement=True, generator=rng)
        places = torch.rand(count, 2, generator=rng).tolist()
        turns = torch.randint(8, (count,), generator=rng).tolist()
        sides = self._sides(chosen.tolist(), rng)
        given, wanted = [], []
        for number, *how in zip(chosen.tolist(), places, turns, sides, strict=True):
            given.append(self._part(self.pictures[number], *how))
            if self.targets is not None:
                wanted.append(self._part(self.targets[number], *how))
        x = torch.stack(given)
        y = torch.stack(wanted) if wanted else x
        levels = self.levels[chosen] * (self.side / torch.tensor(sides))
        return self._spoilt(x, y, levels, rng)

    def _sides(self, chosen: Sequence[int], rng: torch.Generator) -> list[int]:
        """Return how large parts are before some are halved."""
        halved = torch.rand(len(chosen), generator=rng) < _HALVED[self.noise]
        fit = [2 * self.side <= min(self.pictures[number].shape[1:]) for number in chosen]
        pairs = zip(halved.tolist(), fit, strict=True)
        return [self.side * (2 if both == (True, True) else 1) for both in pairs]

    def _part(self, picture: Tensor, place: Sequence[float], turn: int, side: int) -> Tensor:
        top, left = (
            int(share * (length - side + 1))
            for share, length in zip(place, picture.shape[1:], strict=True)
        )
        part = picture[:, top : top + side, left : left + side]
        if side > self.side:
            part = functional.avg_pool2d(part, 2)
        part = torch.rot90(part, turn % 4, (1, 2))
        return part.flip(2) if turn >= 4 else part

    def _spoilt(
        self, x: Tensor, y: Tensor, levels: Tensor, rng: torch.Generator
    ) -> tuple[Batch, Batch]:
        if self.noise != "given":
            noise = torch.randn(x.shape, generator=rng)
            if self.noise == "added":
                if x.shape[1] == _COLOURS:
                    grey = torch.rand(len(x), generator=rng) < _GREY
                    x, noise = _in_grey(x, x.mean(1, True), grey), _in_grey(noise, noise, grey)
                    y = x
                levels = MOST_LEVEL * torch.rand(len(x), generator=rng)
                x = x + levels[:, None, None, None] * noise
            else:
                share = torch.empty(len(x)).uniform_(*_DOUBLED, generator=rng)
                more, part = levels[:, None, None, None] * noise, share[:, None, None, None]
                x, y = x + part * more, y - more / part
                levels = levels * (1 + share.square()).sqrt()
        told = torch.stack([torch.ones_like(levels), levels.square()], 1)
        return Batch(x, level=told), Batch(y)

    def at_level(self, level: float, count: int, rng: torch.Generator) -> tuple[Batch, Batch]:
        """Return parts of clean pictures with noise of one level."""
        _, clean = replace(self, noise="given").draw(count, rng)
        levels = torch.full((count,), level)
        x = clean.x + level * torch.randn(clean.x.shape, generator=rng)
        return Batch(x, level=torch.stack([torch.ones_like(levels), levels.square()], 1)), clean


def _in_grey(x: Tensor, values: Tensor, grey: Tensor) -> Tensor:
    """Return pictures of which some have the first channel of others in all of theirs."""
    return torch.where(grey[:, None, None, None], values[:, :1], x)


class CropBatches:
    """A source of training rows that are parts of pictures.

    Parameters
    ----------
    crops : Crops
        Where they come from.
    batch_size : int
        Parts per step.
    n_steps : int
        Steps of an epoch.
    device : torch.device
        Where the network is.
    level : float or None
        Deviation of the noise that clean parts get; None: any.
    """

    def __init__(
        self,
        crops: Crops,
        batch_size: int,
        n_steps: int,
        device: torch.device,
        level: float | None = None,
    ) -> None:
        self.crops, self.batch_size, self.n_steps = crops, batch_size, n_steps
        self.device, self.level = device, level
        self.n_rows = batch_size * n_steps

    def epoch(self, rng: torch.Generator) -> Iterator[tuple[Batch, Batch]]:
        """Yield (parts with noise, what to reconstruct)."""
        for _ in range(self.n_steps):
            if self.level is None:
                batch, target = self.crops.draw(self.batch_size, rng)
            else:
                batch, target = self.crops.at_level(self.level, self.batch_size, rng)
            yield on_device(batch, self.device), on_device(target, self.device)


def on_device(batch: Batch, device: torch.device) -> Batch:
    """Return rows where the network is."""
    parts = (None if part is None else part.to(device) for part in batch)
    return Batch(*parts)  # type: ignore[arg-type]
