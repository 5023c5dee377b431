"""``fit --kind sparse``, sparse codes in files and folders of SAELens, as a user runs them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy import sparse

from autoencode import load
from autoencode.data.reading import open_data
from autoencode.dictionary_files import read_dictionary

Run = Callable[..., Any]

V, C = 12, 16
FIT = ["--kind", "sparse", "--components", str(C), "--max-epochs", "3", "--quiet"]


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``rows.npy``, sums of few parts of many, and the same as a table."""
    folder = tmp_path_factory.mktemp("sparse")
    rng = np.random.default_rng(0)
    codes = rng.uniform(0.5, 2, (600, C)) * (rng.random((600, C)) < 0.15)
    values = codes @ np.abs(rng.normal(size=(C, V))) + 0.01 * rng.normal(size=(600, V))
    np.save(folder / "rows.npy", values.astype(np.float32))
    lines = [",".join(["id", *(f"x{number}" for number in range(V))])]
    lines += [f"K{place}," + ",".join(f"{x:.5f}" for x in row) for place, row in enumerate(values)]
    (folder / "rows.csv").write_text("\n".join(lines) + "\n", "utf-8")
    return folder


@pytest.fixture(scope="module")
def fitted(run: Run, rows: Path) -> Any:
    """What a fit with pursuit printed."""
    options = ["--active", "2.5", "--positive", "--report", "r.html", "--json"]
    begun = time.monotonic()
    done = run("fit", "rows.npy", "-o", "m", *FIT, *options, folder=rows)
    took = time.monotonic() - begun
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return {**json.loads(done.stdout), "took": took}


@pytest.fixture(scope="module")
def encoder(run: Run, rows: Path) -> Path:
    """A model without refinement."""
    options = ["--refine", "none", "--active", "3", "--bottleneck", "topk"]
    done = run("fit", "rows.npy", "-o", "plain", *FIT, *options, folder=rows)
    assert done.returncode == 0, done.stderr
    return rows / "plain"


def test_a_fit_says_how_sparse_and_how_stable_it_is(run: Run, rows: Path, fitted: Any) -> None:
    units = fitted["units"]
    assert (fitted["kind"], units["n_components"], units["refined"]) == ("sparse", C, True)
    assert 1.5 < units["n_active"] < 3.5
    assert 0 < units["stable"] <= 1
    assert 0 <= units["dead"] < C
    assert units["encoder"]["explained_variance"] < fitted["explained_variance"]
    model = load(rows / "m")
    assert (model.components_ >= 0).all()
    assert units["stable"] == np.mean(model.unit_stability_ > 0.9)
    assert units["dead"] == (model.unit_frequency_ == 0).sum()
    assert json.loads(run("inspect", "m", "--json", folder=rows).stdout)["units"] == units
    words = run("inspect", "m", folder=rows).stdout
    lines = dict(line.split("  ", 1) for line in words.splitlines() if "  " in line)
    said = lines["units"].strip()
    assert said.startswith(f"{units['n_active']:.3g} of {C} units active in a row; ")
    assert f"{units['stable']:.0%} stable" in said
    assert f"{units['encoder']['explained_variance']:.2%} explained" in said


def test_the_report_shows_the_parts(rows: Path, fitted: Any) -> None:
    page = (rows / "r.html").read_text("utf-8")
    assert "Parts that rows are made of" in page
    assert f"{fitted['units']['n_active']:.3g} of {C} parts on average" in page


def test_the_time_of_a_fit_counts_the_search(fitted: Any) -> None:
    """The search takes most of it: the network alone is trained for three short epochs."""
    assert fitted["took"] / 20 < fitted["seconds"] < fitted["took"]


def test_without_refinement_nothing_is_said_of_it(run: Run, rows: Path, encoder: Path) -> None:
    units = json.loads(run("inspect", encoder, "--json", folder=rows).stdout)["units"]
    assert units["refined"] is False
    assert units["encoder"] is units["stable"] is None
    assert units["n_active"] <= 3
    assert "encoder" not in run("inspect", encoder, folder=rows).stdout.split("units")[1]


def test_codes_are_kept_sparse_and_read_again(run: Run, rows: Path, fitted: Any) -> None:
    done = run("encode", "m", "rows.npy", "-o", "codes.npz", folder=rows)
    assert done.returncode == 0, done.stderr
    found = sparse.load_npz(rows / "codes.npz")
    expected = load(rows / "m").transform(np.load(rows / "rows.npy"))
    assert found.format == "csr"
    assert (found != expected).nnz == 0
    assert open_data(rows / "codes.npz").kind == "sparse"
    for name in ("codes.npy", "codes.csv"):
        assert run("encode", "m", "rows.npy", "-o", name, folder=rows).returncode == 0
    np.testing.assert_array_equal(np.load(rows / "codes.npy"), expected.toarray())
    decoded = {}
    for name in ("codes.npz", "codes.npy", "codes.csv"):
        done = run("decode", "m", name, "-o", f"{name}.back.npy", folder=rows)
        assert done.returncode == 0, done.stderr
        decoded[name] = np.load(rows / f"{name}.back.npy")
    done = run("reconstruct", "m", "rows.npy", "-o", "r.npy", folder=rows)
    assert done.returncode == 0, done.stderr
    for values in decoded.values():
        np.testing.assert_allclose(values, np.load(rows / "r.npy"), atol=1e-4)


def test_codes_of_a_table_can_be_joined(run: Run, refused: Run, rows: Path, tmp_path: Path) -> None:
    options = [*FIT, "--active", "2", "--refine", "none", "--keep", "id"]
    done = run("fit", rows / "rows.csv", "-o", "t", *options, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    data = [rows / "rows.csv", "--keep", "id"]
    done = run("encode", "t", *data, "-o", "codes.parquet", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    table = pq.read_table(tmp_path / "codes.parquet")
    assert table.column_names[:2] == ["id", "sparseautoencoder0"]
    assert table["id"].to_pylist()[:2] == ["K0", "K1"]
    message = refused("encode", "t", *data, "-o", "codes.npz", folder=tmp_path)
    assert "holds nothing but the matrix; write kept columns as .parquet" in message


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--active", "3"], "--active is for --kind sparse"),
        (["--positive"], "--positive is for --kind sparse"),
        (["--refine", "none"], "--refine is for --kind sparse"),
        (["--kind", "denoising", "--active", "3"], "--active is for --kind sparse"),
        (["--kind", "sparse", "--rows", "clean"], "--rows is for --kind denoising"),
        (["--kind", "sparse", "--architecture", "mlp"], "--architecture does not go with --kind"),
        (["--kind", "sparse", "--components", "0.9"], "is a whole number, or auto"),
        (["--kind", "sparse", "--components", "none"], "is a whole number, or auto"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_options_of_other_kinds(
    run: Run, rows: Path, options: list[str], reason: str, tmp_path: Path
) -> None:
    done = run("fit", rows / "rows.npy", "-o", "m", *options, folder=tmp_path)
    assert done.returncode == 2
    assert reason in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_too_many_active_parts(run: Run, rows: Path, tmp_path: Path) -> None:
    done = run("fit", rows / "rows.npy", "-o", "x", *FIT, "--active", "99", folder=tmp_path)
    assert done.returncode == 2
    assert "n_active=99.0 should be 'auto' or a positive number, at most n_comp" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_saelens_is_a_model(
    run: Run, rows: Path, encoder: Path, tmp_path: Path
) -> None:
    done = run("export", encoder, "--to", "saelens", "-o", "sae", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == done.stderr == ""
    made = read_dictionary(tmp_path / "sae")
    assert (made.kind, made.n_active, made.parts.shape) == ("topk", 3, (C, V))
    known = {"bottleneck": "topk", "n_features": V, "n_components": C, "n_active": 3}
    said = json.loads(run("inspect", "sae", "--json", folder=tmp_path).stdout)
    assert said == {"model": "sae", "estimator": "SparseAutoencoder", **known}
    assert "n_components  16\n" in run("inspect", "sae", folder=tmp_path).stdout
    for number, model in enumerate((encoder, "sae")):
        for command in ("encode", "reconstruct"):
            output = ["-o", f"{command}{number}.npy"]
            done = run(command, model, rows / "rows.npy", *output, folder=tmp_path)
            assert done.returncode == 0, done.stderr
    for command in ("encode", "reconstruct"):
        here, there = (np.load(tmp_path / f"{command}{number}.npy") for number in (0, 1))
        np.testing.assert_allclose(here, there, atol=1e-5 * np.abs(here).max())
    done = run("decode", "sae", "encode1.npy", "-o", "decoded.npy", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(np.load(tmp_path / "decoded.npy"), there, atol=1e-5)


def test_what_a_folder_lacks_is_said(run: Run, rows: Path, fitted: Any, tmp_path: Path) -> None:
    arguments = ["export", rows / "m", "--to", "saelens", "-o", "sae"]
    done = run(*arguments, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("autoencode: sae has the encoder's codes, which explain ")
    assert f"{fitted['explained_variance']:.2%}\n" in done.stderr
    again = run(*arguments, folder=tmp_path)
    assert again.returncode == 1
    assert "sae exists; pass --force to replace it" in again.stderr
    assert run(*arguments, "--force", folder=tmp_path).returncode == 0
    done = run("export", rows / "m", "-o", "m.onnx", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("autoencode: m.onnx has the encoder's codes, which explain ")
    done = run("export", rows / "m", "--decoder", "-o", "d.onnx", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


def test_models_that_are_no_dictionary(
    refused: Run, run: Run, rows: Path, people: Path, people_model: Path, tmp_path: Path
) -> None:
    arguments = ["--to", "saelens", "-o", "sae"]
    message = refused("export", people_model, *arguments, folder=tmp_path)
    assert "the model is no plain dictionary: its codes are not sparse" in message
    done = run("export", people_model, *arguments, "--encoder", folder=tmp_path)
    assert done.returncode == 2
    assert "--encoder is for --to onnx" in done.stderr
    message = refused("encode", tmp_path, rows / "rows.npy", folder=tmp_path)
    assert "holds none of sae_weights.safetensors" in message
