"""Loads aiogram without building its types: each is built at its first use, as its own `defer_build` asks for.

`aiogram.types` ends with a loop that rebuilds every type it has, used or not: most of the seconds and of the memory
that `import aiogram` costs. The loop is there for the names that annotations mention without importing them, so the
names are put where annotations look for them, and pydantic builds by itself what is used (pydantic, "Deferred build").
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import version
from typing import Any

import pydantic

# For these it is tested that every type comes out as the eager loop makes it; any other is loaded the slow way.
KNOWN = {"aiogram": "3.31.", "pydantic": "2.13."}
# The first update needs both, and what is built later takes over a message that is built already.
_FIRST = ("Message", "Update")
_NAME = re.compile(r"[A-Za-z_]\w*")


def load_aiogram() -> bool:
    """Import aiogram; return whether its types wait for their first use, which must then be on one thread.

    Call it before anything imports aiogram: afterwards, and with versions not known, aiogram is as it makes itself.
    """
    if "aiogram" in sys.modules or not all(version(name).startswith(start) for name, start in KNOWN.items()):
        importlib.import_module("aiogram")
        return False
    with _recording() as (types, names):
        importlib.import_module("aiogram")
    if not types:
        return False
    for cls in types:
        _provide(cls, names)
    _build_before_subclassing(names["TelegramObject"])
    _know_the_bot_at_once(importlib.import_module("aiogram.client.context_controller").BotContextController)
    for name in _FIRST:
        names[name].model_rebuild()
    return True


@contextlib.contextmanager
def _recording() -> Iterator[tuple[list[type[pydantic.BaseModel]], dict[str, Any]]]:
    """Note down, instead of rebuilding, what is to be rebuilt with names given to it."""
    types: list[type[pydantic.BaseModel]] = []
    names: dict[str, Any] = {}
    original = pydantic.BaseModel.__dict__["model_rebuild"]

    def record(
        cls: type[pydantic.BaseModel], /, *, _types_namespace: Mapping[str, Any] | None = None, **options: Any
    ) -> bool | None:
        if _types_namespace is None or not cls.__module__.startswith("aiogram."):
            rebuilt: bool | None = original.__get__(None, cls)(_types_namespace=_types_namespace, **options)
            return rebuilt
        types.append(cls)
        names.update(_types_namespace)
        return None

    pydantic.BaseModel.model_rebuild = classmethod(record)  # type: ignore[assignment, method-assign]
    try:
        yield types, names
    finally:
        pydantic.BaseModel.model_rebuild = original  # type: ignore[method-assign]


def _provide(cls: type[pydantic.BaseModel], names: Mapping[str, Any]) -> None:
    """Put the names that the class's annotations mention, its bases' too, where pydantic looks: into its module."""
    module = vars(sys.modules[cls.__module__])
    for name in _mentioned(cls):
        if name in names:
            module.setdefault(name, names[name])


def _mentioned(cls: type[pydantic.BaseModel]) -> Iterable[str]:
    # A field that a base declares is read in the module of the class that is built.
    for base in cls.__mro__:
        for annotation in inspect.get_annotations(base).values():
            if isinstance(annotation, str):
                yield from _NAME.findall(annotation)


def _build_before_subclassing(root: type[pydantic.BaseModel]) -> None:
    """Have a type built before a subclass takes its fields over, whose module may mean others by the same names."""

    def build_bases(cls: type[pydantic.BaseModel], /, **options: Any) -> None:
        for base in cls.__bases__:
            if issubclass(base, root):
                base.model_rebuild()
        super(root, cls).__init_subclass__(**options)

    root.__init_subclass__ = classmethod(build_bases)  # type: ignore[assignment]


def _know_the_bot_at_once(root: type[pydantic.BaseModel]) -> None:
    """Have an object note its bot in one call, where pydantic made one for each level of inheritance."""

    def note(self: pydantic.BaseModel, context: Mapping[str, Any] | None, /) -> None:
        object.__setattr__(self, "__pydantic_private__", {"_bot": context.get("bot") if context else None})

    for cls in _subclasses(root):
        if "model_post_init" in vars(cls) and [*cls.__private_attributes__] == ["_bot"]:
            del cls.model_post_init
    root.model_post_init = note  # type: ignore[method-assign]


def _subclasses(root: type[pydantic.BaseModel]) -> Iterator[type[pydantic.BaseModel]]:
    for cls in root.__subclasses__():
        yield cls
        yield from _subclasses(cls)
