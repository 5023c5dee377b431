"""Fits to whole pictures that are interrupted go on to the same bits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoencode import PictureDenoiser, PictureRestorer
from autoencode.errors import DataError, SpecError

TINY: dict[str, Any] = {
    "hidden_layer_sizes": (4, 4),
    "max_epochs": 4,
    "batch_size": 2,
    "n_threads": 1,
    "random_state": 0,
}


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autoencode.pictures.wishes._LEAST_STEPS", 3)
    monkeypatch.setattr("autoencode.pictures.hole_fit._JUDGED", 8)


class Stopping:
    """A report that counts epochs, and presses Ctrl-C after one of them."""

    def __init__(self, stop: int = 0) -> None:
        self.stop, self.count = stop, 0

    def __call__(self, phase: str, history: Any) -> None:
        self.count += 1
        if self.count == self.stop:
            raise KeyboardInterrupt


def waves(count: int, seed: int = 0) -> list[Any]:
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:20, :24]
    return [100 + 50 * np.sin(rows / rng.uniform(2, 5) + columns / 3) for _ in range(count)]


CASES: dict[str, tuple[Callable[[], Any], dict[str, Any]]] = {
    "clean": (lambda: PictureDenoiser(rows="clean", **TINY), {}),
    "pairs": (lambda: PictureDenoiser(**TINY), {"target": waves(6, 1)}),
    "holes": (lambda: PictureRestorer(**TINY), {}),
}


@pytest.mark.parametrize("case", CASES)
def test_an_interrupted_fit_goes_on_to_the_same_bits(case: str, tmp_path: Path) -> None:
    make, more = CASES[case]
    path, pictures = tmp_path / "run.ckpt", waves(6)
    whole = make().fit(pictures, **more)
    header, tensors = whole._model.to_file()
    for stop in (1, 4):
        model = make().set_params(verbose=Stopping(stop))
        with pytest.raises(KeyboardInterrupt):
            model.fit(pictures, checkpoint=path, **more)
        assert model.stop_reason_ == "interrupted"
        assert len(model.history_["epoch"]) == stop
        rest = Stopping()
        model = make().set_params(verbose=rest).fit(pictures, checkpoint=path, **more)
        assert rest.count == 4 - stop, "epochs were trained twice or left out"
        assert not path.exists()
        found, others = model._model.to_file()
        for name, values in tensors.items():
            np.testing.assert_array_equal(values, others[name], strict=True, err_msg=name)
        for part in ("facts", "history"):
            assert found[part].pop("seconds")
        assert found["history"] == {k: v for k, v in header["history"].items() if k != "seconds"}
        assert found["facts"] == {k: v for k, v in header["facts"].items() if k != "seconds"}


def test_the_seed_of_an_interrupted_fit_is_kept(tmp_path: Path) -> None:
    path, pictures = tmp_path / "run.ckpt", waves(5)
    model = PictureRestorer(**TINY | {"random_state": None, "verbose": Stopping(2)})
    with pytest.raises(KeyboardInterrupt):
        model.fit(pictures, checkpoint=path)
    begun = model.history_["held_out"]
    model.set_params(verbose=False).fit(pictures, checkpoint=path)
    assert model.history_["held_out"][:2] == begun


def test_a_checkpoint_of_another_fit_is_refused(tmp_path: Path) -> None:
    path, pictures = tmp_path / "run.ckpt", waves(5)
    with pytest.raises(KeyboardInterrupt):
        PictureRestorer(**TINY, verbose=Stopping(1)).fit(pictures, checkpoint=path)
    model = PictureRestorer(**TINY)
    with pytest.raises(DataError, match="X had 5 pictures, now it has 4"):
        model.fit(pictures[:4], checkpoint=path)
    with pytest.raises(DataError, match="X has other values"):
        model.fit(pictures[::-1], checkpoint=path)
    with pytest.raises(SpecError, match="batch_size=2, now it is 3"):
        model.set_params(batch_size=3).fit(pictures, checkpoint=path)
    with pytest.raises(SpecError, match="from a fit of PictureRestorer"):
        PictureDenoiser(**TINY).fit(pictures, checkpoint=path)
