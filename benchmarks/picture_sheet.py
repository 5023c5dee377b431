"""One sheet of clothes: as they are, from 64 numbers each, with holes, and restored.

Needs the models that ``conv_quality.py --sets fashion --save FOLDER`` and
``conv_restore.py --sets fashion --save FOLDER`` write.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from conv_restore import holes
from harness import HERE, parser
from picture_sets import load_pictures

SCALE, GAP = 2, 4


def principal(train: Any, pictures: Any, size: int) -> Any:
    """Return what PCA makes of pictures."""
    from sklearn.decomposition import PCA

    flat = [part.reshape(len(part), -1).astype(np.float32) for part in (train, pictures)]
    model = PCA(size, svd_solver="covariance_eigh").fit(flat[0])
    found = model.inverse_transform(model.transform(flat[1])).reshape(pictures.shape)
    return np.clip(np.rint(found), 0, 255).astype(np.uint8)


def sheet(lines: list[Any]) -> Any:
    """Return one picture with a line for each array of pictures, white between them."""
    side = lines[0].shape[1] * SCALE
    height, width = (side + GAP) * len(lines) + GAP, (side + GAP) * len(lines[0]) + GAP
    whole = np.full((height, width), 255, np.uint8)
    for line, pictures in enumerate(lines):
        for place, picture in enumerate(pictures):
            top, left = GAP + line * (side + GAP), GAP + place * (side + GAP)
            whole[top : top + side, left : left + side] = np.kron(
                picture, np.ones((SCALE, SCALE), np.uint8)
            )
    return whole


def write(arguments: argparse.Namespace) -> None:
    """Draw the sheet."""
    from PIL import Image

    import autoencode

    train, _ = load_pictures("fashion", arguments.data, test=False)
    test, _ = load_pictures("fashion", arguments.data, test=True)
    pictures = test[: arguments.count]
    coder = autoencode.load(arguments.models / "fashion-ConvolutionalAutoencoder.model")
    mender = autoencode.load(arguments.models / "restore-fashion.model")
    half = len(pictures) // 2
    mask = np.concatenate(
        [
            holes("block", half, 28, 0.25, 5),
            holes("pixels", len(pictures) - half, 28, 0.5, 5),
        ]
    )
    given = np.where(mask, 128, pictures).astype(np.uint8)
    lines = [pictures, principal(train, pictures, coder.n_components_)]
    lines += [coder.reconstruct(pictures), given, mender.restore(given, mask)]
    Image.fromarray(255 - sheet(lines)).save(arguments.output, optimize=True)


def main() -> None:
    """Write the picture."""
    options = parser(__doc__.splitlines()[0], rounds=1)
    options.add_argument("--models", type=Path, required=True, help="folder with the models")
    options.add_argument("--count", type=int, default=12, help="pictures in a line")
    options.add_argument("--output", type=Path, default=HERE.parent / "docs" / "pictures.png")
    write(options.parse_args())


if __name__ == "__main__":
    main()
