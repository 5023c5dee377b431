from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from autoencode import Autoencoder

Run = Callable[..., Any]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    rows = np.cumsum(rng.normal(size=(300, 2)), 0)
    text = "".join(f"{a:.3f},{b:.3f},{'xy'[i % 2]}\n" for i, (a, b) in enumerate(rows))
    (tmp_path / "t.csv").write_text("a,b,c\n" + text)
    return tmp_path


def test_text_goes_there_and_back(run: Run, folder: Path) -> None:
    content = (folder / "t.csv").read_bytes()
    done = run("compress", "t.csv", folder=folder)
    assert done.returncode == 0
    assert "bytes became" in done.stderr
    assert (folder / "t.csv").read_bytes() == content
    assert (folder / "t.csv.aez").stat().st_size < 0.5 * len(content)
    assert run("compress", "t.csv", folder=folder).returncode == 1
    (folder / "t.csv").unlink()
    assert run("decompress", "t.csv.aez", folder=folder).returncode == 0
    assert (folder / "t.csv").read_bytes() == content
    tested = run("decompress", "t.csv.aez", "--test", folder=folder)
    assert "whole, 1 blocks" in tested.stderr
    listed = run("decompress", "t.csv.aez", "--list", "--json", folder=folder)
    assert json.loads(listed.stdout)["made from"] == "text"


def test_a_bound_is_kept_and_said(run: Run, folder: Path) -> None:
    done = run(
        "compress", "t.csv", "-o", "u.aez", "--error", "a=0.5,b=0.01", "--json", folder=folder
    )
    assert json.loads(done.stdout)["bytes"] == (folder / "u.aez").stat().st_size
    assert "0.01 to 0.5" in run("decompress", "u.aez", "--list", folder=folder).stdout
    assert run("decompress", "u.aez", "-o", "u.parquet", folder=folder).returncode == 0
    found = pq.read_table(folder / "u.parquet").select(["a", "b"]).to_pandas()
    given = np.loadtxt(folder / "t.csv", delimiter=",", skiprows=1, usecols=(0, 1))
    off = np.abs(found.to_numpy() - given).max(0)
    assert (off <= (0.5, 0.01)).all()
    assert (off > 0).all()


def test_pipes(start: Callable[..., Any], command: list[str], folder: Path) -> None:
    content = (folder / "t.csv").read_bytes()
    packed = subprocess.run(
        [*command, "compress", "-", "-q"], input=content, capture_output=True, check=True
    )
    back = subprocess.run(
        [*command, "decompress", "-"], input=packed.stdout, capture_output=True, check=True
    )
    assert back.stdout == content


def test_what_is_damaged_is_said_and_recovered(run: Run, folder: Path) -> None:
    np.save(folder / "x.npy", np.arange(50).reshape(25, 2))
    run("compress", "x.npy", "--fast", folder=folder)
    data = (folder / "x.npy.aez").read_bytes()
    (folder / "y.aez").write_bytes(data[:-4])
    done = run("decompress", "y.aez", "-o", "y.npy", folder=folder)
    assert done.returncode == 1
    assert done.stderr.startswith("autoencode: y.aez: is cut off")
    assert not (folder / "y.npy").exists()
    done = run("decompress", "y.aez", "-o", "y.npy", "--recover", folder=folder)
    assert done.returncode == 0
    assert (np.load(folder / "y.npy") == np.arange(50).reshape(25, 2)).all()
    (folder / "y.aez").write_bytes(data[:150] + b"x" + data[151:])
    done = run("decompress", "y.aez", "-o", "z.npy", "--recover", folder=folder)
    assert "nothing can be recovered: no block is whole" in done.stderr
    assert done.returncode == 1
    assert not (folder / "z.npy").exists()


@pytest.fixture(scope="module")
def models(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a table and its shared model, pictures, and an autoencoder of an array."""
    folder = tmp_path_factory.mktemp("models")
    rng = np.random.default_rng(1)
    a, b = rng.integers(0, 900, (2, 400))
    long = pa.table({"a": a, "b": 3 * a + b % 5, "c": (a + b) % 3})
    pq.write_table(long, folder / "long.parquet")
    pq.write_table(long.slice(0, 60), folder / "short.parquet")
    done = run("compress", "long.parquet", "--fast", "--save-model", "m.aem", folder=folder)
    assert done.returncode == 0, done.stderr
    rows = rng.normal(size=(120, 2)) @ rng.normal(size=(2, 5))
    np.save(folder / "rows.npy", rows)
    Autoencoder(2, max_epochs=2, random_state=0).fit(rows).save(folder / "fitted.safetensors")
    (folder / "pictures" / "more").mkdir(parents=True)
    picture = Image.fromarray(rng.integers(0, 9, (6, 5)).astype(np.uint8))
    picture.save(folder / "pictures" / "a.png", compress_level=0)
    (folder / "pictures" / "more" / "note.txt").write_text("some text")
    return folder


@pytest.mark.parametrize(
    ("options", "code", "reason"),
    [
        (("long.parquet", "--model", "m.aem", "--save-model", "n.aem"), 2, "exclude each other"),
        (("long.parquet", "--model", "m.aem", "--error", "1"), 2, "has its own bounds"),
        (("long.parquet", "--embed"), 2, "say which with model"),
        (("long.parquet", "--codes"), 2, "say of which with model"),
        (("long.parquet", "--exact"), 2, "this is none"),
        (("pictures", "--relative", "0.1"), 2, "a folder is compressed without loss"),
        (("long.parquet", "--model", "no.aem"), 1, "no.aem: No such file"),
        (("rows.npy", "--model", "m.aem"), 1, "cannot be coded by m.aem"),
        (("rows.npy", "--model", "m.aem", "--codes"), 1, "m.aem"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    run: Run, models: Path, options: tuple[str, ...], code: int, reason: str
) -> None:
    before = sorted(models.iterdir())
    done = run("compress", *options, "-o", "x.aez", folder=models)
    assert done.returncode == code
    assert done.stderr.startswith("autoencode: ")
    assert done.stderr.count("\n") == 1
    assert reason in done.stderr
    assert sorted(models.iterdir()) == before


def test_a_model_is_used_or_none(run: Run, models: Path) -> None:
    done = run("compress", "long.parquet", "--model", "m.aem", "--no-model", folder=models)
    assert done.returncode == 2
    assert "exclude each other" in " ".join(done.stderr.split())


def test_a_shared_model_is_needed_or_within(
    run: Run, refused: Callable[..., str], models: Path
) -> None:
    table = pq.read_table(models / "short.parquet")
    sizes = {}
    for name, options in (
        ("beside", ("--model", "m.aem")),
        ("within", ("--model", "m.aem", "--embed")),
        ("alone", ("--no-model",)),
    ):
        done = run(
            "compress", "short.parquet", "--fast", *options, "-o", f"{name}.aez", folder=models
        )
        assert done.returncode == 0, done.stderr
        sizes[name] = (models / f"{name}.aez").stat().st_size
        given = ("--model", "m.aem") if name == "beside" else ()
        back = ("decompress", f"{name}.aez", *given, "-o", f"{name}.parquet")
        assert run(*back, folder=models).returncode == 0
        assert pq.read_table(models / f"{name}.parquet").equals(table)
    assert sizes["beside"] < min(sizes["within"], sizes["alone"])
    assert "needs the model m.aem" in refused(
        "decompress", "beside.aez", "-o", "y.parquet", folder=models
    )
    assert "SHA-256" in refused(
        "decompress",
        "beside.aez",
        "--model",
        "fitted.safetensors",
        "-o",
        "y.parquet",
        folder=models,
    )


def test_codes_go_there_and_back(run: Run, models: Path) -> None:
    coded = (
        "compress",
        "rows.npy",
        "--fast",
        "--model",
        "fitted.safetensors",
        "--codes",
        "-o",
        "c.aez",
    )
    assert run(*coded, folder=models).returncode == 0
    listed = json.loads(run("decompress", "c.aez", "--list", "--json", folder=models).stdout)
    assert listed["made from"] == "codes"
    back = ("decompress", "c.aez", "--model", "fitted.safetensors", "-o")
    assert run(*back, "all.npy", folder=models).returncode == 0
    assert run(*back, "one.npy", "--components", "1", folder=models).returncode == 0
    rows = np.load(models / "rows.npy")
    off = [((np.load(models / name) - rows) ** 2).mean() for name in ("all.npy", "one.npy")]
    assert off[0] < off[1] < rows.var()


def test_a_folder_comes_back(run: Run, models: Path) -> None:
    pictures = models / "pictures"
    for name, options in (("pixels", ()), ("bytes", ("--exact",))):
        packed = ("compress", "pictures", "--fast", *options, "-o", f"{name}.aez")
        assert run(*packed, folder=models).returncode == 0
        assert run("decompress", f"{name}.aez", "-o", name, folder=models).returncode == 0
        assert (models / name / "more" / "note.txt").read_text() == "some text"
        same = (models / name / "a.png").read_bytes() == (pictures / "a.png").read_bytes()
        assert same == (name == "bytes")
        pixels = np.asarray(Image.open(models / name / "a.png"))
        assert (pixels == np.asarray(Image.open(pictures / "a.png"))).all()
