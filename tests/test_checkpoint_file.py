"""The file of a fit's state: when it is written, and which files are refused."""

from __future__ import annotations

import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from autoencode import Autoencoder, DenoisingAutoencoder, checkpoint, load
from autoencode.data.rows import Rows
from autoencode.errors import AutoencodeError, DataError, ModelFileError, SpecError
from autoencode.model_file import read_model, write_model

SMALL: dict[str, Any] = {"hidden_layer_sizes": (16,), "max_epochs": 6, "random_state": 0}


def interrupt(path: Path, data: np.ndarray) -> None:
    """Leave the state of a fit after two epochs."""

    def report(phase: str, history: Any) -> None:
        if len(history.columns["epoch"]) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Autoencoder(2, **SMALL, verbose=report).fit(data, checkpoint=path)
    assert path.exists()


def test_the_state_is_written_from_time_to_time_and_as_a_whole(
    bent: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, lengths = tmp_path / "run.ckpt", []

    def report(phase: str, history: Any) -> None:
        assert [item.name for item in tmp_path.iterdir()] in ([], ["run.ckpt"])
        kept = read_model(path)[0]["history"] if path.exists() else {"epoch": []}
        lengths.append((len(history.columns["epoch"]), len(kept["epoch"])))

    model = Autoencoder(2, **SMALL, verbose=report)
    model.fit(bent, checkpoint=path)
    assert all(kept == 0 for _, kept in lengths)
    lengths.clear()
    monkeypatch.setattr(checkpoint, "SECONDS_BETWEEN", 0.0)
    model.fit(bent, checkpoint=path)
    assert lengths[0] == (1, 1)
    write, written = write_model, []

    def slow(*arguments: Any) -> None:
        written.append(time.perf_counter())
        time.sleep(0.02)
        write(*arguments)

    # One that takes 0.02 seconds is not repeated within a second.
    monkeypatch.setattr(checkpoint, "write_model", slow)
    model.fit(bent, checkpoint=path)
    assert all(b - a > 0.9 for a, b in pairwise(written))
    assert written
    assert not path.exists()


def refused(path: Path, model: Any, data: Any, **more: Any) -> AutoencodeError:
    before = path.read_bytes()
    with pytest.raises(AutoencodeError) as caught:
        model.fit(data, checkpoint=path, **more)
    assert path.read_bytes() == before
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(str(path))
    return caught.value


def test_the_state_of_another_fit_is_refused(bent: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "run.ckpt"
    interrupt(path, bent)
    for changed, message in [
        ({"max_epochs": 7}, "from a fit with max_epochs=6, now it is 7: delete the file or choose"),
        ({"random_state": None}, "random_state=0, now it is None"),
        ({"hidden_layer_sizes": (16, 4)}, r"hidden_layer_sizes=[16], now it is [16, 4]"),
        ({"penalties": ("l2:weight=0.1",)}, "penalties='auto', now it is ['l2:weight=0.1']"),
    ]:
        error = refused(path, Autoencoder(2, **SMALL | changed), bent)
        assert isinstance(error, SpecError)
        assert message in str(error)
    error = refused(path, DenoisingAutoencoder(2, **SMALL), bent)
    assert "from a fit of Autoencoder" in str(error)
    other = bent.copy()
    other[-1, -1] += 1e-9
    named = pd.DataFrame(bent, columns=list("abcdefghi"))
    for data, more, message in [
        (other, {}, "from a fit to other data: X has other values; delete the file or choose"),
        (bent[:-1], {}, "X had 400 rows, now it has 399"),
        (bent[:, :-1], {}, "X had 9 columns, now it has 8"),
        (named, {}, "X has other column names"),
        (bent, {"target": bent}, "target was not given then"),
        (bent, {"X_held_out": bent}, "X_held_out was not given then"),
    ]:
        error = refused(path, Autoencoder(2, **SMALL), data, **more)
        assert isinstance(error, DataError)
        assert message in str(error)
    # The same rows from elsewhere are the same.
    np.save(tmp_path / "rows.npy", bent)
    model = Autoencoder(2, **SMALL).fit(tmp_path / "rows.npy", checkpoint=path)
    assert model.n_iter_ > 2
    assert not path.exists()


def test_files_that_are_no_state_are_refused_and_stay(bent: np.ndarray, tmp_path: Path) -> None:
    path, model = tmp_path / "run.ckpt", Autoencoder(2, **SMALL)
    interrupt(path, bent)
    with pytest.raises(ModelFileError, match="holds a 'checkpoint', not a model"):
        load(path)
    whole, (header, tensors) = path.read_bytes(), read_model(path)
    path.write_bytes(whole[:-1])
    assert "is truncated" in str(refused(path, model, bent))
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert "is damaged" in str(refused(path, model, bent))
    path.write_text("my only copy")
    assert "a checkpoint is a file of its own" in str(refused(path, model, bent))
    model.fit(bent).save(path)
    assert "is a model, not a checkpoint" in str(refused(path, model, bent))
    shorter = {name: values for name, values in tensors.items() if name != "run/best"}
    write_model(path, header, shorter)
    assert "does not fit together" in str(refused(path, Autoencoder(2, **SMALL), bent))
    for place in (tmp_path / "nowhere" / "run.ckpt", tmp_path):
        with pytest.raises(AutoencodeError, match=r"the folder is missing|is a folder"):
            model.fit(bent, checkpoint=place)


def test_another_versions_state_is_refused(
    bent: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run.ckpt"
    interrupt(path, bent)
    monkeypatch.setattr(checkpoint, "__version__", "9.9")
    error = refused(path, Autoencoder(2, **SMALL), bent)
    assert "this is 9.9: delete the file or choose another one" in str(error)


def test_nothing_is_left_where_nothing_is_trained(bent: np.ndarray, tmp_path: Path) -> None:
    model = Autoencoder(2, hidden_layer_sizes=()).fit(bent, checkpoint=tmp_path / "run.ckpt")
    assert model.gate_ == 0
    assert list(tmp_path.iterdir()) == []


def test_digests_are_of_values_not_of_blocks(bent: np.ndarray) -> None:
    rows = Rows(bent, kind="numpy")
    found = checkpoint.identify("Autoencoder", {}, {"X": rows, "target": None, "X_held_out": rows})
    assert found["data"]["X"] == found["data"]["X_held_out"]
    assert found["data"]["target"] is None
    turned = checkpoint.identify("Autoencoder", {}, {"X": Rows(bent[::-1], kind="numpy")})
    assert found["data"]["X"]["digest"] != turned["data"]["X"]["digest"]
    with pytest.raises(SpecError, match="what the fit is told"):
        checkpoint.identify("Autoencoder", {"level": float("nan")}, {"X": rows})


def test_a_time_budget_counts_what_was_used(bent: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "run.ckpt"
    options = SMALL | {"max_time": 3.0, "max_epochs": 10**6}

    def report(phase: str, history: Any) -> None:
        if history.columns["seconds"][-1] > 1.0:
            raise KeyboardInterrupt

    model = Autoencoder(2, nested=False, **options, verbose=report)
    with pytest.raises(KeyboardInterrupt):
        model.fit(bent, checkpoint=path)
    before = model.history_
    model = Autoencoder(2, nested=False, **options).fit(bent, checkpoint=path)
    assert model.history_["held_out"][: len(before["held_out"])] == before["held_out"]
    assert model.n_iter_ > len(before["epoch"])
    assert 1.0 < model.history_["seconds"][-1] < 3.5
    assert model.stop_reason_ in ("budget", "no further gain")
