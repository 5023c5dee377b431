"""``autoencode restore``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from autoencode.commands.files import naming, read_data
from autoencode.commands.models import form_of, header_of, load_model
from autoencode.commands.options import Force, Model, SkipBad, Trust
from autoencode.commands.photographs import restore_photographs
from autoencode.commands.picture_folders import require_folder
from autoencode.data.picture_wish import PictureWish
from autoencode.errors import DataError

if TYPE_CHECKING:
    import numpy.typing as npt

    from autoencode.data.picture_form import PictureForm
    from autoencode.data.picture_masks import Masks
    from autoencode.data.pictures import Pictures
    from autoencode.estimators import Autoencoder

__all__ = ["restore"]

_PIXELS_AT_A_TIME = 1 << 22

Images = Annotated[
    str,
    typer.Argument(help="A folder or .zip file of pictures, or one picture.", metavar="IMAGES"),
]
MaskFiles = Annotated[
    str,
    typer.Option(
        "--mask",
        help="A folder or .zip file of masks with the names of the images, or one mask for all: "
        "white is missing. transparent: what is not opaque is missing.",
        metavar="MASKS|transparent",
    ),
]
Folder = Annotated[
    Path, typer.Option("--output", "-o", help="Where restored pictures go.", metavar="FOLDER")
]


def restore(
    model: Model,
    images: Images,
    mask: MaskFiles,
    output: Folder,
    skip_bad: SkipBad = False,
    trust: Trust = None,
    force: Force = False,
) -> None:
    """Fill in the missing pixels of pictures; all others stay as they are, bit by bit.

    MODEL is one that was fitted to files of pictures with holes: fit --kind convolutional
    --components none, or --corruption holes. Restored ones are PNG files of the images' own
    sizes and names, with the channels of the model.
    """
    if model.is_file() and header_of(model, "estimator") == ["PictureRestorer"]:
        restore_photographs(model, images, mask, output, skip_bad=skip_bad, force=force)
        return
    form = _require_form(model)
    require_folder(output, force=force)
    pictures = _read(images, form, skip_bad=skip_bad)
    from autoencode.data.picture_masks import Masks
    from autoencode.data.picture_writing import write_pictures

    names = list(pictures.sizes)
    with Masks(images, mask) as masks:
        masks.require(names)
        fitted = load_model(model, trust, decodes=True)
        told = {"pixels": 0, "missing": 0, "untouched": 0}
        found = _restored(_restorer(fitted, model), pictures, masks, told)
        write_pictures(output, names, found, force=force)
    share = told["missing"] / told["pixels"]
    text = f"{told['missing']:,} pixels ({share:.2%}) of {len(names):,} pictures restored"
    if told["untouched"]:
        text += f"; nothing is missing in {told['untouched']:,} of them"
    sys.stderr.write(f"autoencode: {images}: {text}\n")


def _require_form(model: Path) -> PictureForm:
    form = form_of(model)
    if form is None:
        raise DataError(f"{model} was not fitted to files of pictures, and cannot restore any")
    return form


def _read(images: str, form: PictureForm, *, skip_bad: bool) -> Pictures:
    from autoencode.data.reading import is_of_pictures, pictures_of

    if not is_of_pictures(Path(images)):
        raise DataError(f"{images}: name a folder or .zip file of pictures, or one picture")
    found = pictures_of(read_data(images, pictures=PictureWish(skip_bad=skip_bad, form=form)))
    assert found is not None
    if form.fit == "crop":
        for name, size in found.sizes.items():
            if size != (form.height, form.width):
                raise DataError(
                    f"{images}: {name} is {size[0]} x {size[1]} pixels large, but the model knows "
                    f"crops of {form.height} x {form.width}: crop it, or fit with --fit tile"
                )
    return found


def _restorer(fitted: Autoencoder, model: Path) -> Callable[[Any, Any], Any]:
    """Return what restores rows: (pictures, masks) to pictures."""
    found: Callable[[Any, Any], Any] | None = getattr(fitted, "restore", None)
    if found is None:
        raise DataError(f"{model} is a {type(fitted).__name__}, which cannot restore pictures")
    return naming(model)(found)


def _restored(
    restorer: Callable[[Any, Any], Any], pictures: Pictures, masks: Masks, told: dict[str, int]
) -> Iterator[npt.NDArray[Any]]:
    """Yield restored pictures at their own sizes, and count what was missing.

    A picture of another size than the model's is restored at that, and what was missing is
    taken from the result, brought back to its size.
    """
    import numpy as np

    from autoencode.data.picture_decoding import resized
    from autoencode.data.picture_masks import masked_tiles
    from autoencode.data.picture_writing import whole_pictures

    form, start = pictures.form, 0
    for names in _batches(pictures):
        found = [masks.picture(name, form) for name in names]
        parts = []
        rows = slice(start, start)
        for name, picture in zip(names, found, strict=True):
            stop = rows.stop + len(form.tiles(*pictures.sizes[name]))
            parts.append(masked_tiles(picture, pictures.pixels[rows.stop : stop], form))
            rows = slice(start, stop)
        start = rows.stop
        given, missing = (np.concatenate(part) for part in zip(*parts, strict=True))
        values = np.asarray(restorer(given, missing))
        whole = whole_pictures([values], form, pictures.names[rows], pictures.places[rows])
        for picture, (_, pixels) in zip(found, whole, strict=True):
            at, result = picture.missing, picture.pixels
            told["pixels"] += at.size
            told["missing"] += int(at.sum())
            told["untouched"] += not at.any()
            result[at] = resized(pixels, *at.shape).reshape(result.shape)[at]
            yield result


def _batches(pictures: Pictures) -> Iterator[list[str]]:
    """Yield the names of a few pictures at a time."""
    names: list[str] = []
    pixels = 0
    for name, (height, width) in pictures.sizes.items():
        names.append(name)
        pixels += max(height * width, pictures.form.height * pictures.form.width)
        if pixels >= _PIXELS_AT_A_TIME:
            yield names
            names, pixels = [], 0
    if names:
        yield names
