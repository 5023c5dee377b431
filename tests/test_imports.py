"""The shape of the source: imports flow one way, files stay small, some calls are banned.

Each rule is a function from a source tree to the list of its violations, and each is
also shown to catch a planted one.
"""

from __future__ import annotations

import ast
import functools
import graphlib
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = "autoencode"
SOURCE = ROOT / "src" / PACKAGE

# A module imports only those before it. A name stands for a file or for a whole folder;
# the modules of one folder may import each other, but not in a circle.
ORDER = tuple((ROOT / "tests" / "module_order.txt").read_text(encoding="utf-8").split())

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60
VAGUE_NAMES = {"utils", "helpers", "common"}
UNSAFE_MODULES = {"cloudpickle", "dill", "joblib", "marshal", "pickle", "shelve"}
UNSAFE_CALLS = {"eval", "exec", "torch.load", "torch.save"}
GLOBAL_SEEDS = {
    "numpy.random.seed",
    "numpy.random.set_state",
    "random.seed",
    "torch.cuda.manual_seed",
    "torch.cuda.manual_seed_all",
    "torch.manual_seed",
    "torch.random.manual_seed",
    "torch.seed",
    "torch.set_rng_state",
}
# Modules whose distribution has another name, or comes with one that is declared.
DISTRIBUTIONS = {"PIL": "pillow", "scipy": "scikit-learn", "sklearn": "scikit-learn"}


@functools.cache
def parsed(text: str) -> ast.Module:
    return ast.parse(text)


@pytest.fixture(scope="module", autouse=True)
def forget() -> Iterator[None]:
    """Keep the trees of all modules no longer than these tests take."""
    yield
    parsed.cache_clear()


def modules(source: Path) -> Iterator[tuple[str, Path, ast.Module]]:
    """Yield the dotted name, the file and the syntax tree of every module in a package."""
    for path in sorted(source.rglob("*.py")):
        parts = path.relative_to(source).with_suffix("").parts
        if parts[-1] == "__init__":
            parts = parts[:-1]
        yield ".".join((PACKAGE, *parts)), path, parsed(path.read_text("utf-8"))


def imported(name: str, path: Path, tree: ast.Module, known: set[str]) -> Iterator[str]:
    """Yield every dotted name that a module imports, wherever in it the import stands."""
    package = name.split(".") if path.stem == "__init__" else name.split(".")[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                submodule = f"{base}.{alias.name}"
                yield submodule if submodule in known else base
        elif isinstance(node, ast.Call) and dotted(node.func).endswith("import_module"):
            yield from (str(a.value) for a in node.args[:1] if isinstance(a, ast.Constant))


def dotted(node: ast.AST) -> str:
    """Return ``a.b.c`` for an expression that is one, and an empty text for any other."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (owner := dotted(node.value)):
        return f"{owner}.{node.attr}"
    return ""


def section(name: str) -> str:
    """Return what stands for a module in the order: its file, or its folder."""
    return name.split(".")[1] if "." in name else ""


def against_the_flow(source: Path) -> list[str]:
    """Find imports of modules that are not earlier in the order, and circles in folders."""
    rank = {name: place for place, name in enumerate(ORDER)}
    everything = list(modules(source))
    known = {name for name, _, _ in everything}
    found = []
    folders: dict[str, graphlib.TopologicalSorter[str]] = {}
    for name, path, tree in everything:
        if name == PACKAGE:
            continue
        if section(name) not in rank:
            found.append(f"{name} is not in the order of modules")
            continue
        inner = folders.setdefault(section(name), graphlib.TopologicalSorter())
        for target in sorted(set(imported(name, path, tree, known))):
            if target.split(".")[0] != PACKAGE:
                continue
            if target == PACKAGE:
                found.append(f"{name} imports from the package itself, not from a module")
            elif section(target) == section(name):
                inner.add(name, target)
            elif rank.get(section(target), len(rank)) > rank[section(name)]:
                found.append(f"{name} imports {target}, which is not before it in the order")
    for inner in folders.values():
        try:
            inner.prepare()
        except graphlib.CycleError as error:
            found.append(f"a circle of imports: {' -> '.join(error.args[1])}")
    return found


def too_long(source: Path) -> list[str]:
    """Find files and functions that are longer than agreed."""
    found = []
    for path in sorted(source.rglob("*.py")):
        text = path.read_text("utf-8")
        if (count := len(text.splitlines())) > MAX_FILE_LINES:
            found.append(f"{path.name} has {count} lines")
        for node in ast.walk(parsed(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                count = function_lines(node)
                if count > MAX_FUNCTION_LINES:
                    found.append(f"{path.name}: {node.name} has {count} lines")
    return found


def function_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Count a function's lines from ``def`` to its end, without the docstring."""
    count = (node.end_lineno or node.lineno) - node.lineno + 1
    first = node.body[0]
    if ast.get_docstring(node, clean=False) is not None:
        count -= (first.end_lineno or first.lineno) - first.lineno + 1
    return count


def vague_names(source: Path) -> list[str]:
    """Find files and folders whose name says nothing."""
    return [str(path.name) for path in sorted(source.rglob("*")) if path.stem in VAGUE_NAMES]


def calls(tree: ast.Module) -> Iterator[tuple[str, ast.Call]]:
    """Yield every call by the full name of what is called, seen through import aliases."""
    full = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            full.update({a.asname: a.name for a in node.names if a.asname})
        elif isinstance(node, ast.ImportFrom) and not node.level:
            full.update({a.asname or a.name: f"{node.module}.{a.name}" for a in node.names})
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and (name := dotted(node.func)):
            first, dot, rest = name.partition(".")
            yield full.get(first, first) + dot + rest, node


def unsafe(source: Path) -> list[str]:
    """Find what could run code from a file: pickle and its kin, ``eval``, ``exec``."""
    everything = list(modules(source))
    known = {name for name, _, _ in everything}
    found = []
    for name, path, tree in everything:
        for target in sorted(set(imported(name, path, tree, known))):
            if target.split(".")[0] in UNSAFE_MODULES:
                found.append(f"{name} imports {target}")
        for called, node in calls(tree):
            if called in UNSAFE_CALLS:
                found.append(f"{name}:{node.lineno} calls {called}")
            for keyword in node.keywords:
                refused = isinstance(keyword.value, ast.Constant) and not keyword.value.value
                if keyword.arg == "allow_pickle" and not refused:
                    found.append(f"{name}:{node.lineno} allows pickle")
    return found


def global_seeds(source: Path) -> list[str]:
    """Find calls that change a random state which belongs to the whole process."""
    return [
        f"{name}:{node.lineno} calls {called}"
        for name, _, tree in modules(source)
        for called, node in calls(tree)
        if called in GLOBAL_SEEDS
    ]


def undeclared(source: Path) -> list[str]:
    """Find imports of distributions that pyproject.toml does not name for users."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    named = [*project["dependencies"], *project["optional-dependencies"]["onnx"]]
    declared = {requirement.split(">=")[0] for requirement in named}
    everything = list(modules(source))
    known = {name for name, _, _ in everything}
    found = []
    for name, path, tree in everything:
        for target in sorted({t.split(".")[0] for t in imported(name, path, tree, known)}):
            if (
                target in (PACKAGE, *sys.stdlib_module_names)
                or DISTRIBUTIONS.get(target, target) in declared
            ):
                continue
            found.append(f"{name} imports {target}")
    return found


RULES = [against_the_flow, too_long, vague_names, unsafe, global_seeds, undeclared]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_source_keeps(rule: Callable[[Path], list[str]]) -> None:
    assert list(modules(SOURCE))
    assert rule(SOURCE) == []


@pytest.mark.parametrize("folder", ["tests", "benchmarks"])
def test_programs_and_tests_stay_short_too(folder: str) -> None:
    assert too_long(ROOT / folder) == []


# The rules catch what they are for.

LONG_FUNCTION = "def f():\n" + "    x = 1\n" * MAX_FUNCTION_LINES
PLANTED = [
    (against_the_flow, {"kinds.py": "from autoencode.training import train"}, "kinds imports"),
    (against_the_flow, {"kinds.py": "import autoencode.cli"}, "imports autoencode.cli, which"),
    (against_the_flow, {"kinds.py": "def f():\n    from .spec import x"}, "autoencode.spec, wh"),
    (against_the_flow, {"kinds.py": "from . import spec", "spec.py": ""}, "autoencode.spec, wh"),
    (against_the_flow, {"data/arrays.py": "from ..spec2 import x"}, "autoencode.spec2, which"),
    (against_the_flow, {"data/arrays.py": "from ..cli import x"}, "data.arrays imports"),
    (against_the_flow, {"data/__init__.py": "from ..cli import x"}, "autoencode.data imports"),
    (against_the_flow, {"kinds.py": "from autoencode import Autoencoder"}, "package itself"),
    (against_the_flow, {"kinds.py": "import autoencode"}, "package itself"),
    (against_the_flow, {"kinds.py": "import_module('autoencode.cli')"}, "kinds imports"),
    (
        against_the_flow,
        {"kinds.py": "if TYPE_CHECKING:\n    from autoencode import spec", "spec.py": ""},
        "kinds imports autoencode.spec",
    ),
    (against_the_flow, {"surprise.py": ""}, "autoencode.surprise is not in the order"),
    (against_the_flow, {"surprise/inner.py": ""}, "surprise.inner is not in the order"),
    (
        against_the_flow,
        {"data/a.py": "from autoencode.data import b", "data/b.py": "from .a import x"},
        "a circle of imports: ",
    ),
    (
        against_the_flow,
        {"data/__init__.py": "from .a import x", "data/a.py": "from autoencode.data import y"},
        "a circle of imports: ",
    ),
    (too_long, {"kinds.py": "x = 1\n" * 401}, "kinds.py has 401 lines"),
    (too_long, {"kinds.py": LONG_FUNCTION}, "f has 61 lines"),
    (too_long, {"kinds.py": "async " + LONG_FUNCTION}, "f has 61 lines"),
    (vague_names, {"data/utils.py": ""}, "utils.py"),
    (vague_names, {"helpers/inner.py": ""}, "helpers"),
    (vague_names, {"common.py": ""}, "common.py"),
    (unsafe, {"kinds.py": "import pickle"}, "kinds imports pickle"),
    (unsafe, {"kinds.py": "def f():\n    from joblib import load"}, "kinds imports joblib"),
    (unsafe, {"kinds.py": "import torch\ntorch.load('x')"}, "kinds:2 calls torch.load"),
    (unsafe, {"kinds.py": "from torch import load as get\nget('x')"}, "calls torch.load"),
    (unsafe, {"kinds.py": "eval('1')"}, "calls eval"),
    (unsafe, {"kinds.py": "exec('1')"}, "calls exec"),
    (unsafe, {"kinds.py": "np.load('x', allow_pickle=True)"}, "allows pickle"),
    (unsafe, {"kinds.py": "np.load('x', allow_pickle=flag)"}, "allows pickle"),
    (global_seeds, {"kinds.py": "import torch as t\nt.manual_seed(0)"}, "torch.manual_seed"),
    (global_seeds, {"kinds.py": "from torch import manual_seed\nmanual_seed(0)"}, "torch.manual"),
    (global_seeds, {"kinds.py": "import numpy as np\nnp.random.seed(0)"}, "numpy.random.seed"),
    (global_seeds, {"kinds.py": "import random\nrandom.seed(0)"}, "calls random.seed"),
    (undeclared, {"kinds.py": "import pandas"}, "kinds imports pandas"),
    (undeclared, {"kinds.py": "def f():\n    from numba.core import jit"}, "imports numba"),
]
ALLOWED = {
    "__init__.py": "from autoencode.cli import main\nfrom autoencode.kinds import NAMES",
    "kinds.py": '"""Names."""\nimport random\nNAMES = random.Random(0).sample([1], 1)',
    "spec.py": "import ast\nfrom autoencode import kinds\nast.literal_eval('1')",
    "numerics.py": "import torch\nimport numpy as np\n"
    "torch.Generator().manual_seed(0)\nmodel.eval()\nnp.load('x', allow_pickle=False)",
    "data/__init__.py": "from .a import x",
    "data/a.py": "from ..kinds import NAMES\nimport scipy.sparse\nimport pyarrow as pa",
    "data/b.py": "from autoencode.data import a\nfrom autoencode.data.a import x",
    "cli.py": 'def f():\n    """Text.\n' + "\n" * 100 + '    """\n' + "    x = 1\n" * 59,
}


def plant(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / PACKAGE / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return folder / PACKAGE


@pytest.mark.parametrize(("rule", "files", "message"), PLANTED, ids=range(len(PLANTED)))
def test_a_planted_violation_is_caught(
    rule: Callable[[Path], list[str]], files: dict[str, str], message: str, tmp_path: Path
) -> None:
    found = rule(plant(tmp_path, files))
    assert len(found) == 1
    assert message in found[0]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_what_is_allowed_passes(rule: Callable[[Path], list[str]], tmp_path: Path) -> None:
    assert rule(plant(tmp_path, ALLOWED)) == []
