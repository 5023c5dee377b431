"""Folders of ``.npy`` files, and fits that go on, on the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoencode import Autoencoder
from autoencode.model_file import read_model

Run = Callable[..., Any]
WAIT = ["--components", "2", "--hidden", "8", "--max-epochs", "4", "--json"]


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """A folder with ``rows/`` of three files, and ``whole.npy`` with the same rows."""
    rng = np.random.default_rng(0)
    array = (rng.normal(size=(300, 2)) @ rng.normal(size=(2, 6))).astype(np.float32)
    array = np.sin(array) + rng.normal(size=array.shape, scale=0.1).astype(np.float32)
    (tmp_path / "rows").mkdir()
    for place, part in enumerate(np.split(array, [90, 91])):
        np.save(tmp_path / "rows" / f"{place}.npy", part)
    np.save(tmp_path / "whole.npy", array)
    return tmp_path


def same(first: Path, second: Path) -> None:
    (header, tensors), (other, others) = read_model(first), read_model(second)
    assert tensors.keys() == others.keys()
    for name, values in tensors.items():
        np.testing.assert_array_equal(values, others[name], strict=True)
    for part in (header, other):
        del part["history"]["seconds"], part["facts"]["seconds"]
    assert header == other


@pytest.mark.parametrize("suffix", ["npy", "csv"])
def test_a_folder_of_npy_is_fitted_encoded_and_reconstructed(
    run: Run, rows: Path, suffix: str
) -> None:
    for data in ("whole.npy", "rows/"):
        name = Path(data).stem
        done = run("fit", data, "-o", f"{name}.safetensors", *WAIT, folder=rows)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["rows"]["n_rows"] == 300
        for command in ("encode", "reconstruct"):
            output = f"{command}-{name}.{suffix}"
            done = run(command, f"{name}.safetensors", data, "-o", output, folder=rows)
            assert done.returncode == 0, done.stderr
    same(rows / "whole.safetensors", rows / "rows.safetensors")
    for command in ("encode", "reconstruct"):
        first, second = (rows / f"{command}-{name}.{suffix}" for name in ("whole", "rows"))
        assert first.read_bytes() == second.read_bytes()


def test_what_is_wrong_with_a_folder_is_one_line(run: Run, rows: Path) -> None:
    np.save(rows / "rows" / "3.npy", np.zeros((2, 5), np.float32))
    done = run("fit", "rows", "-o", "m", folder=rows)
    assert done.returncode == 1
    assert done.stderr == (
        "autoencode: rows: 3.npy has 5 columns, but 0.npy has 6 columns: the rows of all files "
        "should have one shape\n"
    )


def test_a_fit_goes_on_from_a_checkpoint(run: Run, rows: Path) -> None:
    def report(phase: str, history: Any) -> None:
        if len(history.columns["epoch"]) == 5:
            raise KeyboardInterrupt

    model = Autoencoder(2, hidden_layer_sizes=(8,), max_epochs=4, random_state=0, verbose=report)
    with pytest.raises(KeyboardInterrupt):
        model.fit(rows / "whole.npy", checkpoint=rows / "run.ckpt")
    seconds = read_model(rows / "run.ckpt")[0]["history"]["seconds"]
    call = ["fit", "rows", "-o", "m", "--checkpoint", "run.ckpt"]
    done = run(*call, *WAIT, "--batch-size", "7", folder=rows)
    assert done.returncode == 2
    assert done.stderr == (
        "autoencode: run.ckpt is from a fit with batch_size='auto', now it is 7: delete the file "
        "or choose another one\n"
    )
    for other in ("rows", "m", "nowhere/run.ckpt"):
        done = run(*call[:5], other, *WAIT, folder=rows)
        assert done.returncode == 1
        assert done.stderr.count("\n") == 1
        assert other.split("/")[0] in done.stderr
    done = run(*call, *WAIT, folder=rows)
    assert done.returncode == 0, done.stderr
    assert not (rows / "run.ckpt").exists()
    history = read_model(rows / "m")[0]["history"]
    assert history["seconds"][:5] == seconds
    assert len(history["epoch"]) > 5
    assert run("fit", "whole.npy", "-o", "whole", *WAIT, folder=rows).returncode == 0
    same(rows / "m", rows / "whole")
