"""Runs the command, or a program, in forks of one process that has imported torch once.

Importing torch and scikit-learn takes longer than all that most tests of the command do.
Each line of standard input is a job; its exit code is the line that answers it. A fork
has its own files, limits and end, as a process started from the installed script has.
In a program warnings are errors. A job may be held to fewer passes over its rows.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import pkgutil
import resource
import runpy
import sys
import traceback
import warnings
from typing import Any

with warnings.catch_warnings():
    # Of imports as well, as in a program that is run with -W error.
    warnings.simplefilter("error")
    import autoencode.training
    from autoencode import cli

    importlib.import_module("typer.rich_utils")
    for module in pkgutil.walk_packages(autoencode.__path__, "autoencode."):
        importlib.import_module(module.name)


def shorten(most: int) -> None:
    """Let no training pass over its rows more often, whatever it was asked to."""
    budget = autoencode.training.Budget
    begin = budget.__init__

    def begin_shorter(self: Any, epochs: int, seconds: float | None = None) -> None:
        begin(self, min(epochs, most), seconds)

    budget.__init__ = begin_shorter  # type: ignore[method-assign]


def run(job: dict[str, Any]) -> int:
    """Become the command or the program, and return the code with which it would exit."""
    os.chdir(job["folder"])
    for descriptor, path in enumerate((os.devnull, job["stdout"], job["stderr"])):
        flags = os.O_RDONLY if descriptor == 0 else os.O_WRONLY | os.O_CREAT
        os.dup2(os.open(path, flags, 0o644), descriptor)
    if job["file_bytes"] is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (job["file_bytes"], job["file_bytes"]))
    if job["most_epochs"] is not None:
        shorten(job["most_epochs"])
    code = 0
    try:
        if job["program"] is None:
            sys.argv = ["autoencode", *job["arguments"]]
            cli.main()
        else:
            warnings.simplefilter("error")
            runpy.run_path(job["program"], run_name="__main__")
    except SystemExit as ended:
        code = int(ended.code or 0)
    try:
        sys.stdout.flush()
    except OSError:
        code = 120  # what Python itself exits with then
    sys.stderr.flush()
    return code


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    # Forks need not look for garbage in what is there, nor copy its pages for that.
    gc.collect()
    gc.freeze()
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                code = run(json.loads(line))
            finally:
                if sys.exc_info()[0] is not None:
                    traceback.print_exc()
                    sys.stderr.flush()
                os._exit(code)
        _, status = os.waitpid(child, 0)
        answers.write(f"{os.waitstatus_to_exitcode(status)}\n")
        answers.flush()


if __name__ == "__main__":
    main()
