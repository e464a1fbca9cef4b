"""Which tests run one after another when `pytest -n` runs several at once: those of a file, and of a lane.

A file stays together because its tests share what it starts. The files that start processes are two lanes, begun with:
they wait more than they compute, and more than two crowds of processes at once would wait for each other.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

_FOLDER = "tests/process/"
# Several bots at once, or one that is killed again and again; about as long as all others of the folder.
_CROWDS = frozenset(
    f"{_FOLDER}test_{name}.py"
    for name in (
        "endurance", "killed_courier", "killed_replicas", "rolling_restart", "sentinel_failover", "stores_away",
        "three_replicas", "three_replicas_refused",
    )
)  # fmt: skip
assert all(Path(__file__).parents[1].joinpath(name).exists() for name in _CROWDS), "a file was renamed"


class Lanes(LoadFileScheduling):  # type: ignore[misc]
    """xdist's own distribution of files to workers, a lane taken for one file."""

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        if not file.startswith(_FOLDER):
            return file
        return "crowds" if file in _CROWDS else "processes"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the lanes, so that none is left alone at the end."""
    items.sort(key=lambda item: not item.nodeid.startswith(_FOLDER))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Lanes:
    """Tell xdist how to distribute; it orders files by the number of their tests unless told not to."""
    config.option.loadscopereorder = False
    return Lanes(config, log)
