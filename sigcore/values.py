# SPDX-License-Identifier: Apache-2.0
"""``dataclass`` for the one kind of class that this project has: frozen, with slots. Making it is fast.

The standard library's decorator compiles seven methods for each class and imports ``inspect``: 35 ms for the classes that a
verification needs, three starts of Python. This one compiles ``__init__`` alone, and that once for all classes of a size. What
comes out is the same to its users: equality, hash, representation, ``FrozenInstanceError``, ``__post_init__``, pattern matching,
pickling, and ``dataclasses.replace`` and ``fields``; the tests compare the two. Not supported, and refused: inheritance between
such classes, and ``field``; a class that needs them takes the standard library's decorator.

docs/adr/0010 says why this is ours. Type checkers are shown the standard library's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from operator import attrgetter
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass  # noqa: PLC0414 - said to type checkers: it is exported
else:

    def dataclass(*, frozen: bool, slots: bool) -> Callable[[type], type]:
        """The decorator; both must be True, as they stand in the source for the reader."""
        if not (frozen and slots):
            raise TypeError("values are frozen and have slots")
        return _make


_MANY = 5
"""Members; from there on two changes of the class cost less than a call for each member."""
_become = vars(object)["__class__"].__set__


class _Fields(Mapping[str, Any]):
    """``__dataclass_fields__``, made when somebody looks: ``dataclasses.replace`` and ``fields`` read it."""

    def __init__(self, cls: type, names: tuple[str, ...]) -> None:
        self._cls, self._names = cls, names
        self._made: dict[str, Any] = {}

    def _fields(self) -> dict[str, Any]:
        if not self._made:
            # Deferred: this import is what the module is there to avoid.
            import dataclasses  # noqa: PLC0415 - see the line above

            mirror: Any = dataclasses.make_dataclass(self._cls.__name__, self._names)
            self._made = dict(mirror.__dataclass_fields__)
        return self._made

    def __getitem__(self, name: str) -> Any:
        return self._fields()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def _make(cls: type) -> type:
    """The class again, with slots and the methods of a value."""
    names = tuple(cls.__annotations__) if cls.__bases__ == (object,) else ()
    if not names:
        raise TypeError(f"{cls.__name__} inherits or has no fields; take dataclasses.dataclass")
    defaults = {name: cls.__dict__[name] for name in names if name in cls.__dict__}
    dropped = {*names, "__dict__", "__weakref__"}
    body = {name: member for name, member in cls.__dict__.items() if name not in dropped}
    body = _methods(names) | body | {"__slots__": names, "__match_args__": names, "__qualname__": cls.__qualname__}
    made: Any = type(cls)(cls.__name__, cls.__bases__, body)
    made.__init__ = _initializer(made, names, defaults)
    made.__dataclass_fields__ = _Fields(made, names)
    return made  # type: ignore[no-any-return]  # a class, made above


def _initializer(made: Any, names: tuple[str, ...], defaults: dict[str, Any]) -> Callable[..., None]:
    """``__init__``: compiled once for each number of members, and again with the names of these.

    Each member is set past the class that refuses it; many are set while the object is of a class that does not.
    """
    if tuple(defaults) != names[len(names) - len(defaults) :]:
        raise TypeError(f"{made.__name__} has a member without default after one with a default")
    scope: dict[str, Any]
    if len(names) < _MANY:
        scope = {f"_set_{number}": getattr(made, name).__set__ for number, name in enumerate(names)}
    else:
        scope = {"_become": _become, "_Open": type("_Open", (), {"__slots__": names}), "_made": made}
    template = _template(len(names), checks=hasattr(made, "__post_init__"))
    named = {f"_{number}": name for number, name in enumerate(names)}
    code = template.replace(
        co_varnames=("self", *names), co_names=tuple(named.get(name, name) for name in template.co_names)
    )
    initializer = FunctionType(code, scope, "__init__", tuple(defaults.values()))
    initializer.__qualname__ = f"{made.__qualname__}.__init__"
    return initializer


@cache
def _template(count: int, *, checks: bool) -> CodeType:
    """``__init__`` of a class whose members are called ``_0``, ``_1`` and so on."""
    names = [f"_{number}" for number in range(count)]
    if count < _MANY:
        lines = [f"    _set{name}(self, {name})" for name in names]
    else:
        set_all = [f"    self.{name} = {name}" for name in names]
        lines = ["    _become(self, _Open)", *set_all, "    self.__class__ = _made"]
    if checks:
        lines.append("    self.__post_init__()")
    scope: dict[str, Any] = {}
    exec("\n".join((f"def __init__(self, {', '.join(names)}):", *lines)), scope)  # noqa: S102 - nothing of it is given
    initializer: FunctionType = scope["__init__"]
    return initializer.__code__


def _methods(names: tuple[str, ...]) -> dict[str, Any]:
    values, first = attrgetter(*names), attrgetter(names[0])

    def equal(self: Any, other: object) -> Any:
        if other.__class__ is not self.__class__:
            return NotImplemented
        return first(self) == first(other) and values(self) == values(other)  # most that differ do so at once

    def hashed(self: Any) -> int:
        return hash(values(self))

    def represent(self: Any) -> str:
        return f"{self.__class__.__qualname__}({', '.join(f'{name}={getattr(self, name)!r}' for name in names)})"

    def reduce(self: Any) -> tuple[type, tuple[Any, ...]]:
        return self.__class__, tuple(getattr(self, name) for name in names)

    return {
        "__eq__": equal,
        "__hash__": hashed,
        "__repr__": represent,
        "__reduce__": reduce,
        "__setattr__": _refuse_set,
        "__delattr__": _refuse_delete,
    }


def _refuse_set(_self: Any, name: str, _value: object) -> None:
    raise _frozen(f"cannot assign to field {name!r}")


def _refuse_delete(_self: Any, name: str) -> None:
    raise _frozen(f"cannot delete field {name!r}")


def _frozen(message: str) -> AttributeError:
    from dataclasses import FrozenInstanceError  # noqa: PLC0415 - as in _Fields

    return FrozenInstanceError(message)
