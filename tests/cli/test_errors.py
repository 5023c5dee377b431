"""What becomes of each kind of error, without a process for each."""

from __future__ import annotations

import warnings

import pytest
import typer

from autoencode import cli
from autoencode.errors import DataError, ModelFileError, SpecError

CASES = [
    (DataError("column 'a\nb' is bad"), 1, "autoencode: column 'a b' is bad\n"),
    (ModelFileError("m is damaged"), 1, "autoencode: m is damaged\n"),
    (SpecError("penalty='l3' is not known"), 2, "autoencode: penalty='l3' is not known\n"),
    (MemoryError(), 1, "autoencode: there is not enough memory for this\n"),
    (
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
        1,
        "autoencode: there is not enough memory for this\n",
    ),
    (KeyboardInterrupt(), 130, "autoencode: interrupted\n"),
]


def failing(error: BaseException) -> typer.Typer:
    app = typer.Typer(cls=cli._Commands, pretty_exceptions_enable=False)

    @app.callback()
    def group() -> None:
        """Make the one command a subcommand."""

    @app.command()
    def fail() -> None:
        raise error

    return app


@pytest.mark.parametrize(("error", "code", "line"), CASES, ids=lambda case: type(case).__name__)
def test_errors_become_one_line_and_a_code(
    error: BaseException, code: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        failing(error)(["fail"])
    assert ended.value.code == code
    assert capsys.readouterr() == ("", line)


@pytest.mark.parametrize("error", [RuntimeError("a bug"), TypeError("a bug")])
def test_bugs_keep_their_traceback(error: Exception) -> None:
    with pytest.raises(type(error), match="a bug"):
        failing(error)(["fail"])


def test_warnings_are_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        monkeypatch.setattr(warnings, "showwarning", cli._show_warning)
        warnings.warn("two\nlines", UserWarning, stacklevel=1)
    assert capsys.readouterr().err == "autoencode: warning: two lines\n"
