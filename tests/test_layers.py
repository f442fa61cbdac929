"""The layering: imports go down only, Prefect stays in the flows, and every package says what it is for."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CORE = "miniscope_core"
GROUND = frozenset({"errors", "settings", "progress"})
BASE = GROUND | {"models", "result", CORE}
SCIENCE = BASE | {"io", "quality", "curation"}
ALLOWED = {
    "errors": frozenset[str](),
    "settings": frozenset({"errors"}),
    "progress": frozenset[str](),
    "models": GROUND,
    "result": GROUND | {"models"},
    "remote": GROUND | {"models"},
    "io": GROUND | {"models", "result", "remote"},
    "cleaning": BASE | {"io"},
    # Rooms beside the ladder, each with less to know than the step it stands on.
    "quality": GROUND | {"result"},
    "curation": GROUND | {"models", "result", "quality"},
    "plots": frozenset({"errors"}),
    "engines": SCIENCE - {"curation"},
    "storage": BASE,
    "pipeline": SCIENCE | {"cleaning", "engines", "storage", "remote"},
    "workspace": SCIENCE | {"storage", "pipeline"},
    "figures": SCIENCE | {"cleaning", "plots", "workspace"},
    "web": SCIENCE | {"storage", "pipeline", "plots", "workspace"},
    "demo": SCIENCE | {"plots", "workspace", "figures"},
    "flows": SCIENCE | {"storage", "pipeline", "plots", "workspace", "figures"},
    "cli": SCIENCE
    | {"remote", "cleaning", "engines", "storage", "pipeline", "plots", "workspace", "figures", "demo", "flows", "web"},
}
"""What each package or module may import of ours."""
PUBLIC_NAMES = frozenset({"engines", "io", "models", "result", "workspace"})
"""What the package's own ``__init__`` gives on."""


def modules() -> Iterator[tuple[Path, str]]:
    """Give every module of the project, and the package of the table that it is in."""
    for path in sorted([*(ROOT / CORE).rglob("*.py"), *(ROOT / "flows").rglob("*.py")]):
        parts = path.relative_to(ROOT).with_suffix("").parts
        yield path, parts[0] if parts[0] == "flows" else parts[1]


def imports(path: Path) -> Iterator[str]:
    """Give the full names of everything a module imports, also within functions."""
    package = path.relative_to(ROOT).parent.parts
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield from (f"{base}.{alias.name}" for alias in node.names)


def ours(name: str) -> str | None:
    """Return the package of the table that an imported name is in, or None for somebody else's."""
    parts = name.split(".")
    if parts[0] == "flows":
        return "flows"
    if parts[0] != CORE:
        return None
    return parts[1] if len(parts) > 1 and parts[1] in ALLOWED else CORE


def test_imports_go_down_only() -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path, package in modules()
        for name in imports(path)
        if (target := ours(name)) not in (None, package)
        and target not in (PUBLIC_NAMES if package == "__init__" else ALLOWED[package])
    ]
    assert wrong == []


def test_only_flows_know_prefect() -> None:
    knowing = {package for path, package in modules() for name in imports(path) if name.split(".")[0] == "prefect"}
    assert knowing == {"flows"}


@pytest.mark.parametrize("package", ["models", "io", "engines", "quality", "curation", "plots"])
def test_science_knows_no_database_driver_and_no_store(package: str) -> None:
    drivers = {"fsspec", "s3fs", "botocore", "psycopg", "sqlite3", "alembic"}
    if package != "models":
        drivers |= {"sqlalchemy", "sqlmodel"}
    known = {name.split(".")[0] for path, one in modules() if one == package for name in imports(path)}
    assert known & drivers == set()


def test_every_package_says_in_its_docstring_what_it_is_for() -> None:
    silent = []
    for path, _ in modules():
        doc = ast.get_docstring(ast.parse(path.read_text())) or ""
        if len(doc.split()) < 4:
            silent.append(str(path.relative_to(ROOT)))
    assert silent == []


def test_nothing_in_the_table_is_gone() -> None:
    assert ALLOWED.keys() == {package for _, package in modules()} - {"__init__"}


@pytest.mark.parametrize("name", ["miniscope_core.io.readers", "miniscope_core.io", "flows.tasks", "numpy.io", CORE])
def test_names_are_told_apart(name: str) -> None:
    expected = {"flows.tasks": "flows", "numpy.io": None, CORE: CORE}
    assert ours(name) == expected.get(name, "io")
