# SPDX-License-Identifier: Apache-2.0
"""Small mistakes in a source file, one at a time: another comparison, a test that is always true, a statement left out.

Messages are passed over: a word in one is read by people, and a test that repeats it proves nothing. So are docstrings,
annotations, imports for type checkers alone, and what remembers results (``lru_cache``, as a decorator or called): how many.
"""

from __future__ import annotations

import ast
import copy
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import CodeType
from typing import Any

SWAPS: dict[type[ast.AST], tuple[type[Any], ...]] = {
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.And: (ast.Or,),
    ast.Or: (ast.And,),
    ast.Add: (ast.Sub,),
    ast.Sub: (ast.Add,),
    ast.Mult: (ast.Add,),
    ast.LShift: (ast.RShift,),
    ast.RShift: (ast.LShift,),
    ast.BitAnd: (ast.BitOr,),
    ast.BitOr: (ast.BitAnd,),
    ast.BitXor: (ast.BitOr,),
    ast.Break: (ast.Continue,),
    ast.Continue: (ast.Break,),
}
MESSAGES = frozenset(("Malformed", "Refused", "Check", "Step", "shown"))
"""Calls whose texts are for people."""
TITLES = frozenset(("what", "hint"))
"""Keyword arguments that are a part of messages."""
_SPOKEN = re.compile(r"(the|a|its|timestamp|there) |[,;:] | [a-z]")
"""How texts begin that are a part of messages."""
SPOKEN = frozenset(
    (
        "refusals",
        "differing",
        "moments",
        "reasons",
        "window",
        "place",
        "how",
        "by",
        "over",
        "about",
        "did",
        "ids",
        "__slots__",
    )
)
"""Variables that end up in messages alone, and the names of slots, which are no behaviour."""

Change = Callable[[Any], ast.AST]


@dataclass(frozen=True)
class Mutant:
    """One changed file: where, what stood there, what stands there now; ``code`` is the module with it."""

    line: int
    before: str
    after: str
    code: CodeType

    def __str__(self) -> str:
        return f"{self.line}: {self.before}  ->  {self.after}"


def mutants(source: str, filename: str) -> Iterator[Mutant]:
    """Every mutant of ``source``, in the order of the text."""
    tree = ast.parse(source, filename)
    places = list(_places(tree))
    for path, change in places:
        changed = copy.deepcopy(tree)
        old = _at(changed, path)
        new = ast.copy_location(change(old), old) if hasattr(old, "lineno") else change(old)
        before, after = _text(old), _text(new)
        _put(changed, path, new)
        ast.fix_missing_locations(changed)
        yield Mutant(_line(tree, path), before, after, compile(changed, filename, "exec", dont_inherit=True))


Path = tuple[tuple[str, int | None], ...]


def _places(node: ast.AST, path: Path = ()) -> Iterator[tuple[Path, Change]]:
    if isinstance(node, ast.Call) and _name(node.func) in (*MESSAGES, "lru_cache"):
        return
    if isinstance(node, ast.If) and _name(node.test) == "TYPE_CHECKING":
        return
    if isinstance(node, ast.Assign | ast.AnnAssign) and _target(node) in SPOKEN:
        return
    yield from ((path, change) for change in _changes(node))
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "ctx", "type_ignores", "format_spec"):
            continue
        if isinstance(node, ast.keyword) and node.arg in TITLES:
            continue
        for number, child in enumerate(value) if isinstance(value, list) else ((None, value),):
            if isinstance(child, ast.AST) and not _is_docstring(child):
                yield from _places(child, (*path, (name, number)))


def _changes(node: ast.AST) -> Iterator[Change]:
    for other in SWAPS.get(type(node), ()):
        yield lambda _old, other=other: other()
    match node:
        case ast.If() | ast.IfExp() | ast.While():
            yield from (_with("test", ast.Constant(value)) for value in (True, False))
        case ast.comprehension(ifs=[_, *_]):
            yield _with("ifs", [])
        case ast.UnaryOp(op=ast.Not()):
            yield lambda old: old.operand
        case ast.Constant(value=bool(value)):
            yield _with("value", not value)
        case ast.Constant(value=int(value)):
            yield from (_with("value", other) for other in (value + 1, value - 1))
        case ast.Constant(value=str(value)) if not _SPOKEN.match(value):
            yield _with("value", value + "x" if value else "x")
        case ast.Constant(value=bytes(value)):
            yield _with("value", value + b"x")
        case ast.Return(value=value) if value is not None and not _is_none(value):
            yield _with("value", ast.Constant(None))
        case ast.Raise() | ast.Expr(value=ast.Call()) | ast.AugAssign():
            yield lambda _old: ast.Pass()
        case ast.Slice():
            yield from (_with(end, None) for end in ("lower", "upper") if getattr(node, end) is not None)


def _with(field: str, value: Any) -> Change:
    def change(old: Any) -> ast.AST:
        new = copy.copy(old)
        setattr(new, field, value)
        return new

    return change


# --- the tree ----------------------------------------------------------------------------------------------
def _at(tree: ast.AST, path: Path) -> Any:
    node: Any = tree
    for name, number in path:
        node = getattr(node, name)
        node = node if number is None else node[number]
    return node


def _put(tree: ast.AST, path: Path, new: ast.AST) -> None:
    *above, (name, number) = path
    holder = _at(tree, tuple(above))
    if number is None:
        setattr(holder, name, new)
    else:
        getattr(holder, name)[number] = new


def _line(tree: ast.AST, path: Path) -> int:
    """That of the innermost node which has one: an operator has none."""
    return next(node.lineno for end in range(len(path), 0, -1) if hasattr(node := _at(tree, path[:end]), "lineno"))


def _text(node: Any) -> str:
    if isinstance(node, ast.operator | ast.cmpop | ast.boolop):
        return type(node).__name__
    return " ".join(ast.unparse(ast.fix_missing_locations(copy.deepcopy(node))).split())[:90]


def _name(function: ast.AST) -> str:
    return function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")


def _target(node: ast.Assign | ast.AnnAssign) -> str:
    return _name(node.target if isinstance(node, ast.AnnAssign) else node.targets[0])


def _is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _is_none(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value is None
