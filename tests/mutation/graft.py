# SPDX-License-Identifier: Apache-2.0
"""Put a mutant into a running process: whoever has imported the module already must get it too.

The changed module is executed beside the real one. What it defines is put into the real one's functions and classes, whose
identity stays; a constant that became another one is exchanged wherever it was imported.
"""

from __future__ import annotations

import inspect
import sys
from types import CodeType, FunctionType, ModuleType
from typing import Any


def graft(code: CodeType, module: ModuleType) -> None:
    """Make ``module`` what ``code`` (of the whole module) says, for the rest of this process."""
    made = ModuleType(module.__name__)
    made.__dict__.update({name: getattr(module, name) for name in ("__file__", "__package__", "__spec__")})
    exec(code, made.__dict__)  # noqa: S102 - our own source with one change
    for name, new in vars(made).items():
        if not name.startswith("__"):
            _replace(module, name, vars(module).get(name), new)
    forget()


def forget() -> None:
    """Empty every ``lru_cache`` of ours: what it remembers is what the code before found."""
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in ("sigcore", "client"):
            for member in vars(module).values():
                if hasattr(member, "cache_clear"):
                    member.cache_clear()


def _replace(module: ModuleType, name: str, old: Any, new: Any) -> None:
    old_function, new_function = (
        inspect.unwrap(old) if callable(old) else old,
        inspect.unwrap(new) if callable(new) else new,
    )
    if isinstance(new_function, FunctionType) and new_function.__module__ == module.__name__:
        _function(old_function, new_function)
    elif isinstance(new, type) and new.__module__ == module.__name__:
        _class(old, new)
    elif not isinstance(new, type | ModuleType | FunctionType):
        _constant(module, name, old, new)


def _function(old: FunctionType, new: FunctionType) -> None:
    old.__code__, old.__defaults__, old.__kwdefaults__ = new.__code__, new.__defaults__, new.__kwdefaults__


def _class(old: type, new: type) -> None:
    for name, member in vars(new).items():
        ours = vars(old).get(name)
        if isinstance(member, property):
            member, ours = member.fget, ours.fget  # noqa: PLW2901 - the function inside
        if isinstance(member, FunctionType) and isinstance(ours, FunctionType) and not member.__closure__:
            _function(ours, member)


def _constant(module: ModuleType, name: str, old: Any, new: Any) -> None:
    setattr(module, name, new)
    for other in list(sys.modules.values()):
        if old is not None and vars(other).get(name) is old:
            setattr(other, name, new)
