from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

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
    assert "rows 0 to 24 are lost" in done.stderr
