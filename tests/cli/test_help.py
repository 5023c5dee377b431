from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autoencode import __version__, kinds

COMMANDS = (
    "fit",
    "encode",
    "decode",
    "reconstruct",
    "denoise",
    "impute",
    "restore",
    "augment",
    "sample",
    "compress",
    "decompress",
    "inspect",
    "export",
    "demo",
    "detect",
)
SLOW = ("torch", "numpy", "sklearn", "pyarrow", "plotly", "scipy")
PROBE = f"""
import sys
from autoencode.cli import main
try:
    main()
finally:
    sys.stderr.write(" ".join(name for name in {SLOW!r} if name in sys.modules))
"""


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["--version"], *([name, "--help"] for name in COMMANDS)],
    ids=" ".join,
)
def test_help_imports_nothing_slow_and_has_an_example(
    arguments: list[str], environment: dict[str, str]
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROBE, *arguments],
        env=environment,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0
    assert done.stderr == ""
    if arguments == ["--version"]:
        assert done.stdout == f"autoencode {__version__}\n"
    else:
        command = "" if len(arguments) == 1 else f"{arguments[0]} "
        assert f"Example: autoencode {command}" in done.stdout


def test_the_probe_sees_a_slow_import(environment: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"import numpy\n{PROBE}", "--version"],
        env=environment,
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    assert done.stderr == "numpy"


def test_help_names_every_command_and_every_kind(run: Callable[..., Any], tmp_path: Path) -> None:
    listed = run("--help", folder=tmp_path).stdout
    assert all(f" {name} " in listed for name in COMMANDS)
    words = run("fit", "--help", folder=tmp_path).stdout
    assert all(name in words for names in kinds.AXES.values() for name in names)
    assert all(name in words for name in kinds.COLUMN_KINDS)
    assert all(name in words for name in kinds.PRESETS)
    assert "--components none" in run("impute", "--help", folder=tmp_path).stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["encdoe"],
        ["fit"],
        ["fit", "x.csv", "-o", "m", "--components", "many"],
        ["fit", "x.csv", "-o", "m", "--components", "1.5"],
        ["fit", "x.csv", "-o", "m", "--components", "0"],
        ["fit", "x.csv", "-o", "m", "--hidden", "8,x"],
        ["fit", "x.csv", "-o", "m", "--missing", "never"],
        ["fit", "x.csv", "-o", "m", "--kind", "dreaming"],
        ["fit", "x.csv", "-o", "m", "--kind", "denoising", "--noise", "pink"],
        ["fit", "x.csv", "-o", "m", "--kind", "denoising", "--corruption", "mask"],
        ["fit", "x.csv", "-o", "m", "--kind", "denoising", "--missing", "informative"],
        ["fit", "x.csv", "-o", "m", "--kind", "denoising", "--target", "y", "--rows", "noisy"],
        ["fit", "x.csv", "-o", "m", "--noise", "gaussian"],
        ["fit", "x.csv", "-o", "m", "--rows", "noisy"],
        ["denoise", "m", "x.csv", "--json"],
        ["denoise", "m", "x.csv", "--level", "-1"],
        ["fit", "x.csv", "-o", "m", "--column", "numeric"],
        ["fit", "x.csv", "-o", "m", "--column", "a=numeric", "--column", "a=count"],
        ["fit", "x.csv", "-o", "m", "--max-epochs", "-1"],
        ["fit", "x.csv", "-o", "m", "--learning-rate", "nan"],
        ["compress", "x.csv", "--error", "-1"],
        ["compress", "x.csv", "--error", "1", "--relative", "1"],
        ["compress", "x.csv", "--fast", "--best"],
        ["decompress", "x.csv"],
        ["decompress", "x.aez", "--test", "--list"],
        ["export", "m", "-o", "n", "--to", "pickle"],
        ["export", "m", "-o", "n", "--encoder", "--decoder"],
    ],
    ids=" ".join,
)
def test_usage_errors_exit_2(arguments: list[str], run: Callable[..., Any], tmp_path: Path) -> None:
    done = run(*arguments, folder=tmp_path)
    assert done.returncode == 2
    assert "Usage: autoencode" in done.stderr
    assert not done.stdout
    assert list(tmp_path.iterdir()) == []
