"""What a command never writes over: what it reads, and what is no file."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

Refused = Callable[..., str]
Run = Callable[..., object]
ROWS = "a,b,c\n" + "".join(f"{n},{n * n % 7},{n % 5}\n" for n in range(60))


@pytest.mark.parametrize(
    "arguments",
    [
        ["fit", "x.csv", "-o", "x.csv"],
        ["fit", "x.csv", "-o", "m", "--report", "link.csv"],
        ["fit", "x.csv", "-o", "y.csv", "--held-out", "y.csv"],
        ["encode", "x.csv", "y.csv", "-o", "./x.csv"],
        ["decode", "m", "x.csv", "-o", "x.csv"],
        ["denoise", "m", "x.csv", "-o", "x.csv"],
        ["impute", "x.csv", "-o", "x.csv"],
        ["detect", "x.csv", "-o", "k.csv", "--report", "x.csv"],
        ["augment", "m", "x.csv", "-n", "1", "-o", "x.csv"],
        ["sample", "x.csv", "-n", "1", "-o", "x.csv"],
        ["restore", "m", "folder", "--mask", "x.csv", "-o", "folder"],
        ["compress", "x.csv", "-o", "x.csv"],
        ["decompress", "x.csv", "-o", "x.csv"],
        ["export", "x.csv", "-o", "x.csv"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_what_is_read_stays(arguments: list[str], refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for name in ("x.csv", "y.csv"):
        (tmp_path / name).write_text(ROWS, "utf-8")
    (tmp_path / "link.csv").symlink_to("x.csv")
    line = refused(*arguments, "--force", folder=tmp_path)
    assert "is what is read; name another file to write" in line
    assert (tmp_path / "x.csv").read_text("utf-8") == ROWS


def test_devices_and_links_stay(refused: Refused, run: Run, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text(ROWS, "utf-8")
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", os.devnull):
        line = refused("fit", "x.csv", "-o", name, "--force", folder=tmp_path)
        assert f"cannot write {name}: it is no regular file" in line
    (tmp_path / "x.aez").write_text("old", "utf-8")
    (tmp_path / "link").symlink_to("x.aez")
    run("compress", "x.csv", "--fast", "-o", "link", "--force", folder=tmp_path)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "x.aez").read_bytes()[:3] != b"old"
    run("decompress", "link", "-o", "y.csv", folder=tmp_path)
    assert (tmp_path / "y.csv").read_text("utf-8") == ROWS
