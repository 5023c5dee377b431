"""Folders and lists of ``.npy`` files: one set of rows, read where it is asked for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoencode import Autoencoder, Imputer, training_rows
from autoencode.batches import StreamedBatches
from autoencode.data.reading import open_data
from autoencode.data.rows import Rows
from autoencode.data.shards import open_shards
from autoencode.errors import DataError

SMALL: dict[str, Any] = {"hidden_layer_sizes": (8,), "max_epochs": 2, "random_state": 0}


def written(folder: Path, array: np.ndarray, *cuts: int) -> list[Path]:
    """Write an array in several files, every second one in the other memory order."""
    folder.mkdir(exist_ok=True)
    paths = []
    for place, part in enumerate(np.split(array, cuts)):
        paths.append(folder / f"part-{place:02}.npy")
        np.save(paths[-1], np.asfortranarray(part) if place % 2 else part)
    return paths


@pytest.mark.parametrize("dtype", ["float32", "float64", ">f8", "int16"])
@pytest.mark.parametrize("shape", [(20, 3), (20, 2, 4)])
def test_shards_read_as_the_array_does(tmp_path: Path, dtype: str, shape: tuple[int, ...]) -> None:
    array = (10 * np.random.default_rng(0).normal(size=shape)).astype(dtype)
    whole = Rows(array, kind="numpy")
    rows = open_shards(written(tmp_path, array, 7, 7, 8, 15))
    assert rows.mapped
    assert not rows.in_memory
    for name in ("n_rows", "n_features", "sample_shape", "dtype", "source_dtype", "names"):
        assert getattr(rows, name) == getattr(whole, name), name
    np.testing.assert_array_equal(rows.dense(), whole.dense(), strict=True)
    for start, stop in [(0, 20), (0, 7), (6, 9), (7, 8), (14, 99), (5, 5), (9, 3), (20, 30)]:
        found = rows.block(start, stop)
        np.testing.assert_array_equal(found, whole.block(start, stop), strict=True)
        assert found.flags.c_contiguous
    for chosen in [[], [0], [19, 0, 7, 7, 6], [-1, -20, 14], np.arange(20)]:
        np.testing.assert_array_equal(rows.take(chosen), whole.take(chosen), strict=True)
    for wrong in ([20], [-21]):
        with pytest.raises(IndexError):
            rows.take(wrong)
    assert [start for start, _ in rows.blocks(6)] == [0, 6, 12, 18]


def test_a_folder_holds_its_files_by_name_and_a_list_those_given(tmp_path: Path) -> None:
    array = np.arange(24.0).reshape(12, 2)
    paths = written(tmp_path / "rows", array, 5, 9)
    (tmp_path / "rows" / "notes.md").write_text("not data")
    np.save(tmp_path / "rows" / "_later.npy", np.zeros((3, 5)))
    np.testing.assert_array_equal(open_data(tmp_path / "rows").dense(), array)
    np.testing.assert_array_equal(open_data(paths).dense(), array)
    other_way = open_data([str(path) for path in reversed(paths)])
    np.testing.assert_array_equal(other_way.dense(), np.concatenate(np.split(array, [5, 9])[::-1]))
    (tmp_path / "rows" / "more").mkdir()
    paths[0].rename(tmp_path / "rows" / "more" / paths[0].name)
    assert len(open_data(tmp_path / "rows")) == 12
    with pytest.raises(DataError, match="no column 'x'"):
        open_data(tmp_path / "rows", drop=["x"])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("b.npy", np.zeros((3, 5)), "b.npy has 5 columns, but a.npy has 4 columns"),
        ("b.npy", np.zeros((3, 2, 2)), "b.npy has rows of shape (2, 2), but a.npy has 4 columns"),
        ("b.npy", np.zeros((3, 4), "f4"), "b.npy holds float32, but a.npy holds float64"),
        ("b.npy", np.zeros(4), "b.npy holds an array of shape (4,); rows need two dimensions"),
        ("b.npy", b"", "b.npy is not a whole .npy file"),
        ("b.npy", b"\x93NUMPY\x01\x00", "b.npy is not a whole .npy file"),
        ("b.npz", b"PK", "holds .npy files, but also b.npz"),
        ("b.csv", b"x\n1\n", "holds .npy files, but also b.csv"),
        ("b.parquet", b"", "holds .npy files, but also b.parquet"),
    ],
)
def test_files_that_do_not_fit_are_named(
    tmp_path: Path, name: str, content: Any, message: str
) -> None:
    folder = tmp_path / "rows"
    written(folder, np.ones((6, 4)))
    (folder / "part-00.npy").rename(folder / "a.npy")
    if isinstance(content, bytes):
        (folder / name).write_bytes(content)
    else:
        np.save(folder / name, content)
    with pytest.raises(DataError) as caught:
        open_data(folder)
    assert str(caught.value).startswith(f"{folder}: {message}")
    assert "\n" not in str(caught.value)


def test_a_truncated_file_is_named(tmp_path: Path) -> None:
    first, second = written(tmp_path / "rows", np.ones((60, 4)), 30)
    with second.open("rb+") as file:
        file.truncate(second.stat().st_size - 1)
    for data in (tmp_path / "rows", [first, second]):
        with pytest.raises(DataError, match=r"part-01.npy is truncated: its header declares"):
            open_data(data)


def test_a_file_that_becomes_shorter_is_named(tmp_path: Path) -> None:
    rows = open_shards(written(tmp_path, np.ones((60, 4)), 30))
    with (tmp_path / "part-01.npy").open("rb+") as file:
        file.truncate(200)
    with pytest.raises(DataError, match=r"part-01.npy: changed while it was read"):
        rows.block(20, 40)
    (tmp_path / "part-01.npy").unlink()
    with pytest.raises(DataError, match=r"part-01.npy: No such file"):
        rows.take([50])


def test_lists_of_paths_that_cannot_be_joined_are_refused(tmp_path: Path) -> None:
    (first,) = written(tmp_path, np.ones((6, 4)))
    (tmp_path / "b.csv").write_text("x\n1\n")
    for other, message in [
        ("b.csv", "b.csv is no .npy file"),
        ("c.npy", "c.npy: No such file"),
        ("", "is no .npy file"),
    ]:
        with pytest.raises(DataError, match=message):
            open_data([first, tmp_path / other])
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty: is a folder without Parquet or NumPy files"):
        open_data(tmp_path / "empty")
    np.save(tmp_path / "empty" / "none.npy", np.zeros((0, 4)))
    with pytest.raises(DataError, match=r"0 sample\(s\)"):
        open_data(tmp_path / "empty")
    np.save(tmp_path / "empty" / "none.npy", np.full((2, 4), np.inf))
    with pytest.raises(DataError, match="infinite"):
        open_data(tmp_path / "empty")


def equal_models(first: Autoencoder, second: Autoencoder) -> None:
    """Compare every stored tensor and every figure of two fits but their seconds."""
    (header, tensors), (other_header, others) = (m._state.to_file() for m in (first, second))
    assert tensors.keys() == others.keys()
    for name, values in tensors.items():
        np.testing.assert_array_equal(values, others[name], strict=True, err_msg=name)
    for name in first.history_.keys() - {"seconds"}:
        assert first.history_[name] == second.history_[name], name
    for name, values in first.curve_.items():
        np.testing.assert_array_equal(values, second.curve_[name])
    facts, other_facts = (dict(h["facts"]) for h in (header, other_header))
    assert facts.pop("seconds") > 0
    assert other_facts.pop("seconds") > 0
    assert facts == other_facts


@pytest.mark.parametrize(
    "options", [{"n_components": 2}, {"n_components": 2, "corruption": "gaussian"}, "holes"]
)
def test_a_fit_to_shards_is_a_fit_to_the_array(
    bent: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: Any
) -> None:
    array = np.concatenate([bent] * 4).astype(np.float32)
    array += np.random.default_rng(0).normal(size=array.shape)
    if options == "holes":
        array[np.random.default_rng(1).random(array.shape) < 0.1] = np.nan
        options = {"n_components": None}
    written(tmp_path / "rows", array, 100, 700, 1033)
    np.save(tmp_path / "whole.npy", array)
    # Batches of odd sizes, several of which are prepared at a time.
    options = {**SMALL, **options, "batch_size": 37}
    whole = Autoencoder(**options).fit(array)
    assert whole.gate_ == (options["n_components"] is not None)
    equal_models(whole, Autoencoder(**options).fit(tmp_path / "rows"))
    # Now none of them is kept in memory.
    monkeypatch.setattr(training_rows, "MAPPED_LIMIT", 0)
    monkeypatch.setattr(training_rows, "READ_BYTES", 0)
    streamed = []
    read = StreamedBatches.epoch

    def counted(self: StreamedBatches, rng: Any) -> Any:
        streamed.append(self.n_rows)
        return read(self, rng)

    monkeypatch.setattr(StreamedBatches, "epoch", counted)
    for data in (
        tmp_path / "rows",
        sorted((tmp_path / "rows").glob("*.npy")),
        tmp_path / "whole.npy",
        np.load(tmp_path / "whole.npy", mmap_mode="r"),
    ):
        model = Autoencoder(**options).fit(data)
        equal_models(whole, model)
        assert len(streamed) == model.n_iter_
        streamed.clear()
    np.testing.assert_array_equal(model.transform(tmp_path / "rows"), whole.transform(array))
    np.testing.assert_array_equal(
        model.reconstruct(tmp_path / "rows"), whole.reconstruct(array), strict=True
    )


def test_an_imputer_takes_shards(bent: np.ndarray, tmp_path: Path, few_epochs: None) -> None:
    array = bent.copy()
    array[np.random.default_rng(1).random(array.shape) < 0.1] = np.nan
    written(tmp_path / "rows", array, 150)
    options = {"random_state": 0, "max_time": None}
    models = []
    for data in (array, tmp_path / "rows"):
        models.append(Imputer(**options).set_params(n_threads=1).fit(data))
    equal_models(models[0].model_, models[1].model_)
    np.testing.assert_array_equal(
        models[0].transform(array), models[1].transform(tmp_path / "rows")
    )


BOUNDED = """
import resource, sys
from autoencode import Autoencoder

def status(name):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) << 10 for line in file if line.startswith(name))

folder, allowed = sys.argv[1], int(sys.argv[2])
Autoencoder(1, hidden_layer_sizes=(2,), max_epochs=1, random_state=0).fit([[0.0, 1.0]] * 60)
before = status("VmHWM")
# Memory of the process's own: what is mapped from files for reading is not counted.
limit = status("VmData") + allowed
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
model = Autoencoder(
    1, hidden_layer_sizes=(2,), max_epochs=1, batch_size=4096, random_state=0, n_threads=1
)
model.fit(folder)
codes = model.transform(folder)
print(len(codes), status("VmHWM") - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits and figures of Linux")
def test_memory_does_not_grow_with_the_data(tmp_path: Path) -> None:
    size = 256 << 20
    part = np.random.default_rng(0).normal(size=(1 << 15, 128)).astype(np.float32)
    count = size // part.nbytes
    for place in range(count):
        np.save(tmp_path / f"{place:02}.npy", part)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", BOUNDED, str(tmp_path), str(176 << 20)],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows, grown = map(int, done.stdout.split())
    assert rows == count * len(part)
    assert grown < size
