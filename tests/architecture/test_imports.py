"""Imports run one way, and each library stays in its room.

`ARROWS` is the picture of the house: a part may import itself, what its arrows point to, and whatever those
reach. Parts that stand side by side have no arrow between them; `scenario/build.py` joins them. A failing
test names the line."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

PACKAGE = "simulator"
ROOT = Path(__file__).parents[2] / PACKAGE

SIDE_BY_SIDE = ("control_plane", "agent", "envoy", "propagation", "fleet", "workload")
BELOW_THEM = ("xds", "mesh", "wire", "recording")

ARROWS: dict[str, tuple[str, ...]] = {
    "": ("cli",),  # simulator/__init__.py: the public surface, imported lazily
    "cli": ("report", "experiment", "lab"),
    "lab": ("experiment",),
    "report": ("results",),
    "experiment": ("scenario", "results"),
    "scenario": SIDE_BY_SIDE,
    "results": ("recording",),
    **dict.fromkeys(SIDE_BY_SIDE, BELOW_THEM),
    **dict.fromkeys(BELOW_THEM, ("calibration",)),
    "mesh": ("xds",),  # what it configures are xDS resources and sets of their names (DECISIONS.md)
    "wire": ("xds", "recording", "calibration"),  # it carries xDS messages and notes them (DECISIONS.md)
    "calibration": ("engine",),
    "engine": (),
}

MAY_IMPORT_INSIDE_A_FUNCTION = [("results", "report")]
"""Plotting methods on result objects: the one exception."""

USERS_OF_THE_PUBLIC_SURFACE = ("cli", "lab")
"""They translate to the same API that users call."""

NO_CLOCK_IN = {"xds": ("simulator.engine.events", "simulator.engine.servers")}
"""The protocol is pure: it can be tested without a clock."""

# A library that is not listed may be imported anywhere.
ROOMS: dict[str, tuple[str, ...]] = {
    "simpy": ("engine",),
    "pandas": ("results", "report"),
    "matplotlib": ("report",),
    "pyarrow": ("results",),
    "rich": ("cli",),
    "distributed": (),  # loaded by name, where a Dask cluster is asked for
    # Chance comes from engine/draws.py, by key; time from engine/events.py. The wall clock is for those who
    # run runs.
    "random": (),
    "secrets": ("results",),  # names of temporary files
    "uuid": (),
    "numpy.random": (),
    "time": ("cli", "experiment", "lab"),
    "datetime": ("cli", "experiment", "lab"),
    # Takes almost a second to import, and scipy.special has what is needed, but for designs of experiments.
    "scipy.stats": ("experiment",),
}
ONLY_INSIDE_FUNCTIONS = ("scipy",)
"""Imported when used: most runs need nothing of it."""

NOT_TO_SAY_HELLO = ("matplotlib", "numpy", "pandas", "pyarrow", "pydantic", "rich", "scipy", "simpy", "yaml")
"""What `import simulator` and the command line's help do without."""


@dataclass(frozen=True)
class Import:
    """One imported module, or name of a module, and where."""

    file: Path
    line: int
    module: str
    in_function: bool

    @property
    def part(self) -> str:
        """The part of the house that imports; "" for files of the package itself."""
        return part_of(".".join([PACKAGE, *self.file.relative_to(ROOT).with_suffix("").parts]))

    def __str__(self) -> str:
        return f"{PACKAGE}/{self.file.relative_to(ROOT)}:{self.line} imports {self.module}"


def part_of(module: str) -> str:
    """The part a module of the package belongs to."""
    names = module.split(".")
    is_part = len(names) > 1 and (names[1] in ARROWS or (ROOT / names[1]).is_dir())
    return names[1] if is_part else ""


def is_within(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


@cache
def reach(part: str) -> frozenset[str]:
    """The parts that `part` may import."""
    return frozenset({part}).union(*(reach(below) for below in ARROWS[part]))


def imports_of(file: Path) -> Iterator[Import]:
    """Every import of a file, those under TYPE_CHECKING included: what is named is depended on."""

    def visit(node: ast.AST, in_function: bool) -> Iterator[Import]:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(file, node.lineno, alias.name, in_function)
        elif isinstance(node, ast.ImportFrom):
            base = absolute(node, file)
            for alias in node.names:
                yield Import(file, node.lineno, f"{base}.{alias.name}", in_function)
        elif isinstance(node, ast.Attribute) and ast.unparse(node) in ("np.random", "numpy.random"):
            yield Import(file, node.lineno, "numpy.random", in_function)
        inner = in_function or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.iter_child_nodes(node):
            yield from visit(child, inner)

    yield from visit(ast.parse(file.read_text(encoding="utf-8")), in_function=False)


def absolute(node: ast.ImportFrom, file: Path) -> str:
    """The module a `from ... import` names, relative dots resolved."""
    if not node.level:
        return node.module or ""
    parents = [PACKAGE, *file.relative_to(ROOT).parts[:-1]]
    return ".".join(parents[: len(parents) - node.level + 1] + ([node.module] if node.module else []))


def files() -> list[Path]:
    return sorted(ROOT.rglob("*.py"))


@cache
def all_imports() -> list[Import]:
    return [found for file in files() for found in imports_of(file)]


def report(offences: list[str]) -> None:
    assert not offences, "\n" + "\n".join(offences)


def test_every_folder_has_its_place_in_the_picture() -> None:
    parts = sorted(
        {part_of(f"{PACKAGE}.{file.relative_to(ROOT).parts[0]}") for file in files() if file.parent != ROOT}
    )
    report([f"{PACKAGE}/{part}/ has no arrows in ARROWS" for part in parts if part not in ARROWS])


def test_every_folder_with_code_is_a_package() -> None:
    folders = sorted({file.parent for file in files()})
    report([f"{folder} has no __init__.py" for folder in folders if not (folder / "__init__.py").exists()])


def test_the_picture_has_no_circle() -> None:
    for part, belows in ARROWS.items():
        for below in belows:
            assert part not in reach(below), f"{part} and {below} reach each other"


def test_parts_import_only_what_lies_below_them() -> None:
    report(
        [
            f"{found}: {found.part} does not stand above {part_of(found.module)}"
            for found in all_imports()
            if is_within(found.module, PACKAGE)
            and found.part  # the public surface may show anything
            and part_of(found.module) not in reach(found.part)
            and not (
                found.in_function and (found.part, part_of(found.module)) in MAY_IMPORT_INSIDE_A_FUNCTION
            )
            and not (found.part in USERS_OF_THE_PUBLIC_SURFACE and is_public(found.module))
        ]
    )


def is_public(module: str) -> bool:
    """Whether it is the package itself or a name of its public surface."""
    public = importlib.import_module(PACKAGE).__all__
    return module == PACKAGE or module in [f"{PACKAGE}.{name}" for name in public]


def test_the_public_surface_imports_no_part_until_it_is_asked() -> None:
    offences = []
    for found in imports_of(ROOT / "__init__.py"):
        guarded = found.in_function or found.line in lines_for_type_checkers(ROOT / "__init__.py")
        if not guarded and is_within(found.module, PACKAGE):
            offences.append(f"{found} at once: `import simulator` would no longer be cheap")
    report(offences)


def lines_for_type_checkers(file: Path) -> list[int]:
    """The lines under `if TYPE_CHECKING:`, which never run."""
    blocks = [
        node
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
    ]
    return [line for node in blocks for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)]


def test_the_protocol_knows_no_clock() -> None:
    report(
        [
            f"{found}: {found.part} is pure"
            for found in all_imports()
            for module in NO_CLOCK_IN.get(found.part, ())
            if is_within(found.module, module)
        ]
    )


@pytest.mark.parametrize("library", ROOMS)
def test_a_library_stays_in_its_room(library: str) -> None:
    rooms = ROOMS[library]
    report(
        [
            f"{found}: {library} belongs in {' and '.join(rooms) or 'no part of the simulator'}"
            for found in all_imports()
            if is_within(found.module, library) and found.part not in rooms
        ]
    )


@pytest.mark.parametrize("library", ONLY_INSIDE_FUNCTIONS)
def test_a_slow_library_is_imported_only_when_it_is_used(library: str) -> None:
    report(
        [
            f"{found} at once: import it inside the function that uses it"
            for found in all_imports()
            if is_within(found.module, library)
            and not found.in_function
            and found.line not in lines_for_type_checkers(found.file)
        ]
    )


def test_the_package_and_the_command_line_load_nothing_heavy_until_a_command_runs() -> None:
    loaded = f"[name for name in {NOT_TO_SAY_HELLO} if name in sys.modules]"
    program = f"import sys, {PACKAGE}, {PACKAGE}.cli.main; print({loaded})"
    assert subprocess.check_output([sys.executable, "-c", program], cwd=ROOT.parent, text=True) == "[]\n"


# Order: what iterates over a set differs from process to process.

IN_ORDER = ("list", "tuple", "enumerate", "iter", "zip", "map", "filter", "dict.fromkeys", "deque")


def is_set(node: ast.AST) -> bool:
    """Whether an expression is a set by its looks."""
    if isinstance(node, ast.BinOp):
        return isinstance(node.op, ast.BitOr | ast.BitAnd | ast.Sub | ast.BitXor) and (
            is_set(node.left) or is_set(node.right)
        )
    is_call = isinstance(node, ast.Call) and ast.unparse(node.func) in ("set", "frozenset")
    return is_call or isinstance(node, ast.Set | ast.SetComp)


def iterated(node: ast.AST) -> list[ast.expr]:
    """The expressions whose order a node depends on."""
    if isinstance(node, ast.For | ast.comprehension):
        return [node.iter]
    if isinstance(node, ast.Starred):
        return [node.value]
    if isinstance(node, ast.YieldFrom):
        return [node.value]
    if isinstance(node, ast.Call):
        name = ast.unparse(node.func)
        if name in IN_ORDER or name.endswith((".join", ".extend")):
            return node.args
    return []


def iterations_over_sets(file: Path) -> list[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return [
        f"{file}:{found.lineno} iterates over a set, {ast.unparse(found)}: its order is not fixed"
        for node in ast.walk(tree)
        for found in iterated(node)
        if is_set(found)
    ]


def test_nothing_iterates_over_a_set() -> None:
    report([offence for file in files() for offence in iterations_over_sets(file)])


# The tests above must be able to fail.


@pytest.mark.parametrize(
    "line",
    [
        "for x in {1, 2}: pass",
        "a = [x for x in set(b)]",
        "a = list(frozenset(b))",
        "a = ', '.join({x for x in b})",
        "print(*set(b))",
        "for x in set(a) - set(b): pass",
    ],
)
def test_an_iteration_over_a_set_is_found(tmp_path: Path, line: str) -> None:
    file = tmp_path / "part.py"
    file.write_text(line + "\n")
    assert len(iterations_over_sets(file)) == 1


@pytest.mark.parametrize("line", ["for x in sorted({1, 2}): pass", "a = 1 in {1, 2}", "a = len(set(b))"])
def test_a_set_that_is_not_iterated_over_is_fine(tmp_path: Path, line: str) -> None:
    file = tmp_path / "part.py"
    file.write_text(line + "\n")
    assert iterations_over_sets(file) == []


def test_every_form_of_import_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path)
    file = tmp_path / "envoy" / "part.py"
    file.parent.mkdir()
    file.write_text(
        "import pandas as pd\n"
        "from simulator import report\n"
        "from . import startup\n"
        "from ..wire.link import Link\n"
        "def f():\n"
        "    from simulator.report.plots import states\n"
        "u = np.random.rand()\n"
    )
    assert [(found.line, found.module, found.in_function) for found in imports_of(file)] == [
        (1, "pandas", False),
        (2, "simulator.report", False),
        (3, "simulator.envoy.startup", False),
        (4, "simulator.wire.link.Link", False),
        (6, "simulator.report.plots.states", True),
        (7, "numpy.random", False),
    ]


@pytest.mark.parametrize(
    ("upper", "lower"),
    [("envoy", "control_plane"), ("xds", "wire"), ("results", "scenario"), ("engine", "xds")],
)
def test_the_picture_keeps_these_apart(upper: str, lower: str) -> None:
    assert lower not in reach(upper)


@pytest.mark.parametrize(
    ("upper", "lower"), [("cli", "results"), ("scenario", "xds"), ("envoy", "calibration")]
)
def test_the_picture_lets_these_through(upper: str, lower: str) -> None:
    assert lower in reach(upper)
