"""README's folder map, settings table and diagram are held to the code."""

from __future__ import annotations

import itertools
import re
import subprocess
from pathlib import Path

from bot.setting_types import written
from bot.settings import Settings
from handlers.registration.steps import STEPS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
TOP = ("bot", "handlers", "locales", "storage", "tests")


def rows(first_heading: str) -> list[list[str]]:
    """Return the cells of the table whose first heading this is."""
    table = README.split(f"| {first_heading} |", 1)[1].split("\n\n", 1)[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:] if "|" in line]


def test_the_settings_table_is_the_settings() -> None:
    defaults = Settings.model_construct()
    documented = {cells[0].strip("`"): cells[1].strip("`") for cells in rows("setting")}
    actual = {name.upper(): written(getattr(defaults, name)) for name in Settings.model_fields}
    assert documented == actual
    assert all(len(cells) == 3 and cells[2] for cells in rows("setting"))


def test_the_folder_map_is_the_tree() -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *TOP],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    folders = {
        "/".join(path.split("/")[:depth]) + "/" for path in tracked for depth in (1, 2) if path.count("/") >= depth
    }
    assert {cells[0].strip("`") for cells in rows("folder")} == folders


def test_the_diagram_has_the_steps_in_order() -> None:
    diagram = re.search(r"```mermaid\n(.*?)```", README, re.DOTALL)
    assert diagram is not None
    arrows = re.findall(r"^\s*(\S+) --> (\S+?):", diagram[1], re.MULTILINE)
    path = ["[*]", *(step.name for step in STEPS), "done"]
    forward = list(itertools.pairwise(path))
    assert [arrow for arrow in arrows if arrow in forward] == forward
    assert {end for arrow in arrows for end in arrow} == set(path)


def test_the_commands_are_targets() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"make (\w+)", README):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
