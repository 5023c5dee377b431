"""Noise and holes in pictures of any size: fits to folders, and models at work on them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoencode.commands.display import print_json, print_text
from autoencode.commands.files import naming
from autoencode.commands.fit_job import interrupted_text, require_outputs
from autoencode.commands.picture_folders import require_folder
from autoencode.commands.progress import Progress
from autoencode.errors import DataError

if TYPE_CHECKING:
    from autoencode.commands.fit_job import FitJob
    from autoencode.data.picture_masks import Masks
    from autoencode.data.picture_reading import PictureReader
    from autoencode.estimators import PictureDenoiser, PictureRestorer

__all__ = ["denoise_photographs", "fit_photographs", "has_photographs", "restore_photographs"]

_LEAST_SIDE = 32
_LEAST_WITH_HOLES = 40
"""Smaller pictures are better filled from all that is known of them at once."""
_TAKES = (
    *(
        "rows",
        "hidden_layer_sizes",
        "n_blocks",
        "max_epochs",
        "max_time",
        "batch_size",
        "learning_rate",
    ),
    *("validation_fraction", "device", "n_threads", "random_state"),
)
_MOST_PIXELS = 1 << 28
"""Of more pixels than this in all, the middle of each picture is fitted to."""


def has_photographs(job: FitJob) -> bool:
    """Say whether a model for pictures of any size is to be fitted.

    It is if the kind is denoising, or convolutional without a code; half of the pictures or more
    have no side under 32 pixels, or 40 without a code; and nothing was asked for that only
    the other model has: a code, one size for all, another noise than the normal one.
    """
    from autoencode.data.reading import is_of_pictures

    holes = _has_holes(job)
    if not (holes or job.kind == "denoising") or not is_of_pictures(Path(job.data)):
        return False
    asked = job.pictures.size or job.pictures.fit or job.held_out
    further = set(job.parameters) - {*_TAKES, "n_components" if holes else "noise"}
    further |= {"rows"} & set(job.parameters) if holes else set()
    if asked or further or job.parameters.get("noise", "gaussian") != "gaussian":
        return False
    if holes and job.target is not None:
        return False
    from autoencode.data.picture_reading import PictureReader

    with naming(job.data), PictureReader(job.data) as reader:
        sides = sorted(reader.sides())
    # What cannot be read at all is named by whoever reads it.
    return bool(sides) and sides[len(sides) // 2] >= (_LEAST_WITH_HOLES if holes else _LEAST_SIDE)


def _has_holes(job: FitJob) -> bool:
    """Say whether holes are to be filled by a model without a code."""
    return job.kind == "convolutional" and job.parameters.get("n_components", 0) is None


def _reader(path: str, *, skip_bad: bool) -> PictureReader:
    from autoencode.data.picture_reading import PictureReader

    with naming(path):
        reader = PictureReader(path)
        reader.require(skip_bad=skip_bad)
    return reader


def fit_photographs(job: FitJob, *, as_json: bool) -> bool:
    """Fit to pictures of any size, write the model and say how good it is.

    Returns
    -------
    bool
        Whether Ctrl-C ended the fit; the model with what was learned is written all the same.

    Raises
    ------
    DataError
        If pictures cannot be used or the model not be written.
    """
    require_outputs(job)
    from autoencode.estimators import PictureDenoiser, PictureRestorer

    holes = _has_holes(job)
    parameters = {name: value for name, value in job.parameters.items() if name in _TAKES}
    with Progress(quiet=job.quiet, max_time=parameters.get("max_time")) as progress:
        progress.say(f"reading {job.data}")
        pictures, targets, names = _pairs(job)
        if progress.visible:
            progress.max_epochs = parameters.get("max_epochs")
            parameters["verbose"] = progress
        model: Any = (PictureRestorer if holes else PictureDenoiser)(**parameters)
        interrupted = False
        try:
            with naming(job.data):
                more = {} if holes else {"target": targets}
                model.fit(pictures, checkpoint=job.checkpoint, **more)
        except KeyboardInterrupt:
            if not hasattr(model, "stop_reason_"):
                raise
            interrupted = True
        progress.say("writing")
        model.set_params(verbose=False).save(job.output)
        if interrupted:
            sys.stderr.write(interrupted_text(job))
        if job.report is not None:
            _write_report(job, model, pictures, targets, names)
    if as_json:
        print_json(_result(job, model) | {"interrupted": interrupted})
    else:
        print_text(model.summary())
    return interrupted


def _write_report(
    job: FitJob, model: Any, pictures: list[Any], targets: list[Any] | None, names: list[str]
) -> None:
    from autoencode.commands.photograph_reporting import photograph_report_data
    from autoencode.report import write_report

    assert job.report is not None
    shown = photograph_report_data(
        model,
        pictures,
        targets,
        names=names,
        title=Path(job.data).name,
        data_path=job.data,
        model_path=str(job.output),
    )
    write_report(job.report, shown, force=True)


def _pairs(job: FitJob) -> tuple[list[Any], list[Any] | None, list[str]]:
    """Read pictures, their targets, which go together by their names, and these."""
    with _reader(job.data, skip_bad=job.pictures.skip_bad) as reader:
        if job.target is None:
            pictures = _read(job.data, reader, reader)
            targets = None
        else:
            with _reader(job.target, skip_bad=job.pictures.skip_bad) as wanted:
                alone = set(reader.looks) ^ set(wanted.looks)
                if alone:
                    raise DataError(
                        f"{job.data} and {job.target}: {min(alone)!r} is in one of them only; "
                        "pictures go together by their names"
                    )
                pictures, targets = (
                    _read(job.data, reader, wanted),
                    _read(job.target, wanted, reader),
                )
        mode = "RGB" if reader.colour else "grey"
        text = f"{len(pictures):,} pictures of their own sizes, {mode}"
        if reader.bad:
            text += f"; {len(reader.bad):,} left out: {', '.join(sorted(reader.bad)[:20])}"
        sys.stderr.write(f"autoencode: {job.data}: {text}\n")
        names = list(reader.looks)
    return pictures, targets, names


def _read(path: str, reader: PictureReader, other: PictureReader) -> list[Any]:
    """Read all pictures, with channels and bits that suit those of the other too."""
    colour = reader.colour or other.colour
    deep = not colour and reader.deep and other.deep
    total = sum(look.height * look.width for look in reader.looks.values())
    share = min(1.0, (_MOST_PIXELS / total) ** 0.5)
    found = []
    for name in reader.looks:
        with naming(path):
            pixels = reader.read(name, colour=colour, deep=deep)
        height, width = (max(_LEAST_SIDE, int(share * side)) for side in pixels.shape[:2])
        top, left = (max(0, pixels.shape[0] - height) // 2, max(0, pixels.shape[1] - width) // 2)
        found.append(pixels[top : top + height, left : left + width].copy())
    return found


def _result(job: FitJob, model: Any) -> dict[str, Any]:
    facts, known = model._model.facts, {}
    if not _has_holes(job):
        noise = {"kind": model.noise_.kind, "level": model.noise_.level}
        known = {"situation": model.situation_, "noise": noise}
    return {
        "model": str(job.output),
        "kind": job.kind,
        "report": None if job.report is None else str(job.report),
        "estimator": type(model).__name__,
        **known,
        "pictures": facts["n_pictures"],
        "held_out": facts["held_out"],
        "seconds": facts["seconds"],
        "epochs": len(model.history_.get("epoch", [])),
        "stop_reason": model.stop_reason_,
    }


def denoise_photographs(
    model: Path,
    data: str,
    output: Path,
    *,
    level: float | None,
    adapt: int,
    skip_bad: bool,
    as_json: bool,
    force: bool,
) -> None:
    """Take the noise out of a folder of pictures, one after the other; each is written when done.

    Raises
    ------
    DataError
        If data are no pictures, or the folder cannot be written.
    """
    from autoencode.data.reading import is_of_pictures

    if os.fspath(output) == "-" or not is_of_pictures(Path(data)):
        raise DataError(
            f"{model} takes noise out of files of pictures: name a folder of them, a .zip file or "
            "one picture, and a folder to write to (-o)"
        )
    require_folder(output, force=force)
    with _reader(data, skip_bad=skip_bad) as reader, naming(data):
        from autoencode.data.picture_writing import write_pictures
        from autoencode.loading import load

        levels: dict[str, float] = {}
        fitted = load(model)
        if adapt and not fitted._model.adapts:
            raise DataError(
                f"--adapt needs normal noise, but {model} learned another from pairs: leave it out"
            )
        pictures = _denoised(fitted, reader, level, adapt, levels)
        write_pictures(output, list(reader.looks), pictures, force=force)
        bad = dict(reader.bad)
    for name, reason in sorted(bad.items()):
        sys.stderr.write(f"autoencode: {data}: left out: {name} {reason}\n")
    if as_json:
        print_json({"output": str(output), "levels": levels, "given": level is not None})
    else:
        sys.stderr.write(f"autoencode: {data}: {_said(levels, given=level is not None)}\n")


def _denoised(
    model: PictureDenoiser,
    reader: PictureReader,
    level: float | None,
    adapt: int,
    levels: dict[str, float],
) -> Iterator[Any]:
    """Yield pictures without noise; what was transparent stays so."""
    import numpy as np

    colour = model._model.n_colours == 3
    for name, look in reader.looks.items():
        pixels = reader.read(name, colour=colour, deep=look.deep, alpha=look.alpha)
        opacity = pixels[..., -1:] if look.alpha else None
        shown = pixels[..., :-1] if look.alpha else pixels
        plain = shown[..., 0] if not colour and shown.ndim == 3 else shown
        # A level is told in the units of the fit, whatever the bits of this picture.
        unit = np.iinfo(plain.dtype).max / model._model.white
        asked = None if level is None else level * unit
        result, found = model._model.scaled(unit).denoised(plain, asked, adapt)
        levels[name] = found / unit
        if opacity is not None:
            result = np.concatenate([result.reshape(shown.shape), opacity], -1)
        yield result


def _said(levels: Mapping[str, float], *, given: bool) -> str:
    values = sorted(levels.values())
    text = f"{len(values):,} pictures; deviation of the noise "
    if given:
        return text + f"{values[0]:.3g}, as given"
    if len(values) == 1:
        return text + f"{values[0]:.3g}"
    middle = values[len(values) // 2]
    return text + f"{values[0]:.3g} to {values[-1]:.3g} (median {middle:.3g})"


def restore_photographs(
    model: Path, images: str, mask: str, output: Path, *, skip_bad: bool, force: bool
) -> None:
    """Fill the holes of a folder of pictures, one after the other; each is written when done.

    Raises
    ------
    DataError
        If images are no pictures, masks are missing, or the folder cannot be written.
    """
    from autoencode.data.reading import is_of_pictures

    require_folder(output, force=force)
    if not is_of_pictures(Path(images)):
        raise DataError(f"{images}: name a folder or .zip file of pictures, or one picture")
    from autoencode.data.picture_masks import Masks

    with _reader(images, skip_bad=skip_bad) as reader, Masks(images, mask) as masks:
        names = list(reader.looks)
        masks.require(names)
        from autoencode.data.picture_writing import write_pictures
        from autoencode.loading import load

        told = {"pixels": 0, "missing": 0}
        found = _restored(load(model), reader, masks, told)
        write_pictures(output, names, found, force=force)
    share = told["missing"] / told["pixels"]
    text = f"{told['missing']:,} pixels ({share:.2%}) of {len(names):,} pictures restored"
    sys.stderr.write(f"autoencode: {images}: {text}\n")


def _restored(
    model: PictureRestorer, reader: PictureReader, masks: Masks, told: dict[str, int]
) -> Iterator[Any]:
    """Yield restored pictures, and count what was missing."""
    import numpy as np

    from autoencode.data.picture_form import PictureForm

    colour = model._model.n_colours == 3
    for name, look in reader.looks.items():
        bits = 16 if look.deep and not colour else 8
        read = masks.picture(name, PictureForm(look.height, look.width, colour=colour, bits=bits))
        told["pixels"] += read.missing.size
        told["missing"] += int(read.missing.sum())
        shown = read.pixels if colour else read.pixels[..., 0]
        # In the units of the fit, whatever the bits of this picture.
        unit = PictureForm(1, 1, bits=bits).largest / model._model.white
        hole = read.missing[..., None] if colour else read.missing
        yield model._model.scaled(unit).restored(shown, np.broadcast_to(hole, shown.shape))
