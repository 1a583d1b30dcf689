# SPDX-License-Identifier: Apache-2.0
"""The rules of the house, each a function from a source file to its findings; ``test_architecture.py`` runs them.

Everything is read from the syntax tree of the whole file: an import inside a function or under ``TYPE_CHECKING`` is an
import. A finding is one sentence that says what stands there and what to do instead.
"""

from __future__ import annotations

import ast
import io
import re
import statistics
import tokenize
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

CORE = "sigcore"
NEIGHBOURS = ("oidc_dev", "ca", "tlog", "tsa", "client")
TOP = "stack"
PACKAGES = (CORE, *NEIGHBOURS, TOP)
NOT_SHIPPED = ("tests", "bench")

# fmt: off
PURE = frozenset((
    "__future__", "abc", "base64", "binascii", "bisect", "collections", "contextlib", "dataclasses", "datetime", "decimal",
    "enum", "functools", "hashlib", "hmac", "ipaddress", "itertools", "json", "math", "operator", "re", "secrets", "string", "struct",
    "types", "typing", "unicodedata", "urllib.parse", "uuid",
))
# fmt: on
"""What sigcore may import of the standard library: nothing that reads a clock, a disk, a socket or the environment."""
PURE_CRYPTOGRAPHY = ("cryptography.exceptions", "cryptography.hazmat")
"""Not cryptography.x509: it doubles the time of a cold verification (docs/adr/0004)."""
IMPURE_CALLS = frozenset(("open", "print", "input", "breakpoint", "exec", "eval", "compile"))
MAKES_CLASSES = "values.py"
"""The one module of sigcore that may ``exec``: it makes ``__init__`` of classes from their own names (docs/adr/0010)."""

CLOCKS = {
    "datetime": frozenset(("now", "utcnow", "today", "fromtimestamp", "utcfromtimestamp")),
    "date": frozenset(("today", "fromtimestamp")),
    "time": frozenset(("time", "time_ns", "gmtime", "localtime", "ctime", "strftime", "asctime")),
}
"""Readings of the wall clock. A monotonic clock measures a duration and may be read anywhere but in sigcore."""
CONVERSIONS = frozenset(("fromtimestamp", "utcfromtimestamp", "gmtime", "strftime"))
"""Of those, what is no reading when it is given the moment to convert."""

DECODERS = {
    "json": frozenset(("load", "loads")),
    "orjson": frozenset(("loads",)),
    "base64": frozenset(
        ("b64decode", "standard_b64decode", "urlsafe_b64decode", "b32decode", "b16decode", "decodebytes")
    ),
    "binascii": frozenset(("a2b_base64", "a2b_hex", "unhexlify")),
    "bytes": frozenset(("fromhex",)),
    "datetime": frozenset(("fromisoformat",)),
}
"""Lenient decoders of the standard library; sigcore/strict.py is what stands in their place."""

EDGES = frozenset(("app", "ct", "http", "rekor_v1", "rekor_v2", "transport", "tuf_fetching", "witness_http"))
"""The modules of the five neighbours that may know HTTP."""
WEASEL_NAMES = frozenset(
    ("common", "core", "helper", "helpers", "lib", "manager", "managers", "misc", "shared", "util", "utils")
)

FILE_LINES = (150, 350, 450)
BODY_LINES = (9, 35, 60)
"""Budgets as (median, 95th percentile, maximum)."""


@dataclass(frozen=True)
class Source:
    """One file: its path from the checkout's root, and its text."""

    path: PurePosixPath
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        """The syntax tree."""
        return ast.parse(self.text, str(self.path))

    @property
    def package(self) -> str:
        """The top-level folder."""
        return self.path.parts[0]

    @property
    def module(self) -> str:
        """The dotted import name."""
        parts = self.path.with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    @cached_property
    def imports(self) -> tuple[tuple[int, str], ...]:
        """Every import as (line, dotted name); ``from a import b`` counts as ``a.b``."""
        return tuple(_imports(self.tree))

    def at(self, line: int, finding: str) -> str:
        """A finding with its place, in the form that editors jump to."""
        return f"{self.path}:{line}: {finding}"


Rule = Callable[[Source], Iterator[str]]
WholeRule = Callable[[Sequence[Source]], Iterator[str]]


def load_sources(root: Path, *folders: str) -> tuple[Source, ...]:
    """Every Python file under ``folders`` of the checkout ``root``."""
    files = sorted(file for folder in folders for file in (root / folder).rglob("*.py"))
    return tuple(Source(PurePosixPath(file.relative_to(root).as_posix()), file.read_text("utf-8")) for file in files)


def _imports(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and _called(node) in ("import_module", "__import__"):
            yield from (
                (node.lineno, a.value)
                for a in node.args[:1]
                if isinstance(a, ast.Constant) and isinstance(a.value, str)
            )


def _called(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


# --- imports ---------------------------------------------------------------------------------------
def floors(source: Source) -> Iterator[str]:
    """Imports point down: stack -> neighbours -> sigcore; neighbours never import each other."""
    allowed = {CORE: (CORE,), TOP: PACKAGES}.get(source.package, (CORE, source.package))
    for line, name in source.imports:
        target = name.partition(".")[0]
        if target in (*PACKAGES, *NOT_SHIPPED) and target not in allowed:
            how = "meet through a Protocol in ports.py" if target in NEIGHBOURS else "imports point down"
            yield source.at(line, f"{source.package} imports {target}; it may import {', '.join(allowed)} ({how})")


def absolute_imports(source: Source) -> Iterator[str]:
    """No ``from . import``: a later move of a folder is one search and replace."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            yield source.at(
                node.lineno, f"relative import of {'.' * node.level}{node.module or ''}; write the whole name"
            )


def dynamic_imports(source: Source) -> Iterator[str]:
    """Only the command table imports by name; everywhere else it would hide from this test."""
    if source.path.parts[:2] == (TOP, "cli"):
        return
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call) and _called(node) in ("import_module", "__import__"):
            yield source.at(node.lineno, "imports a module by name; write an import statement")


def cycles(sources: Sequence[Source]) -> Iterator[str]:
    """No module imports itself by way of others."""
    known = {source.module for source in sources}
    graph = {
        source.module: sorted({_module(name, known) for _, name in source.imports} - {"", source.module})
        for source in sources
    }
    finished: set[str] = set()
    for start in sorted(graph):
        yield from _cycles_from(start, graph, [], finished)


def _cycles_from(module: str, graph: dict[str, list[str]], path: list[str], finished: set[str]) -> Iterator[str]:
    if module in path:
        yield f"import cycle: {' -> '.join([*path[path.index(module) :], module])}; move what both need into a third module"
    elif module not in finished:
        for target in graph[module]:
            yield from _cycles_from(target, graph, [*path, module], finished)
        finished.add(module)


def _module(name: str, known: set[str]) -> str:
    """The module of ours that an imported name lives in, or ""."""
    return name if name in known else next((n for n in (name.rpartition(".")[0],) if n in known), "")


def real_types(sources: Sequence[Source]) -> Iterator[str]:
    """What ``isinstance`` is asked about is a type, and no alias whose value is a text: the type checker sees no difference there."""
    aliases = {
        node.target.id
        for source in sources
        for node in ast.walk(source.tree)
        if isinstance(node, ast.AnnAssign)
        and isinstance(node.target, ast.Name)
        and isinstance(node.value, ast.Constant)
        if ast.unparse(node.annotation).rpartition(".")[2] == "TypeAlias"
    }
    for source in sources:
        for node in ast.walk(source.tree):
            asked: list[ast.expr] = []
            if isinstance(node, ast.Call) and _called(node) in ("isinstance", "issubclass"):
                asked = node.args[1:]
            elif isinstance(node, ast.MatchClass):
                asked = [node.cls]
            names = {getattr(one, "id", getattr(one, "attr", "")) for kind in asked for one in ast.walk(kind)}
            for name in sorted(names & aliases):
                yield source.at(
                    node.lineno, f"asks about {name}, which is a text and no type; ask by a function of its module"
                )


# --- purity ------------------------------------------------------------------------------------------
def pure_core(source: Source) -> Iterator[str]:
    """sigcore imports from an allow-list only, and neither opens nor prints."""
    if source.package != CORE:
        return
    for line, name in source.imports:
        if not _is_pure(name):
            yield source.at(line, f"sigcore imports {name}; it takes bytes and moments as arguments (list: PURE)")
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in IMPURE_CALLS:
            if source.path.name == MAKES_CLASSES and node.func.id == "exec":
                continue
            yield source.at(node.lineno, f"sigcore calls {node.func.id}(); leave that to the caller")


def _is_pure(name: str) -> bool:
    if name.startswith(f"{CORE}.") or name == CORE:
        return True
    prefixes = {name[: match.start()] for match in re.finditer(r"\.|\Z", name)}
    return bool(prefixes & PURE or prefixes & set(PURE_CRYPTOGRAPHY))


def frozen_core(source: Source) -> Iterator[str]:
    """Every dataclass of sigcore is a value: frozen, with slots."""
    if source.package != CORE:
        return
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ClassDef):
            for decorator in node.decorator_list:
                text = ast.unparse(decorator)
                if text.startswith("dataclass") and not ("frozen=True" in text and "slots=True" in text):
                    yield source.at(node.lineno, f"{node.name} is @{text}; write @dataclass(frozen=True, slots=True)")


def clocks(source: Source) -> Iterator[str]:
    """Only stack/ and */app.py read the wall clock; everything else is given ``now``."""
    if source.package == TOP or source.path.name == "app.py":
        return
    converted = {id(node.func) for node in ast.walk(source.tree) if isinstance(node, ast.Call) and node.args}
    for node, owner, name in _members(source.tree, CLOCKS):
        if not (name in CONVERSIONS and id(node) in converted):
            yield source.at(node.lineno, f"{owner}.{name} reads the clock; take `now: datetime` as an argument")


def strict_decoding(source: Source) -> Iterator[str]:
    """Text from outside is decoded by sigcore/strict.py alone, which knows one spelling per value."""
    if source.path == PurePosixPath("sigcore/strict.py"):
        return
    literals = {id(node.func) for node in ast.walk(source.tree) if isinstance(node, ast.Call) and _takes_literals(node)}
    for node, owner, name in _members(source.tree, DECODERS):
        if id(node) not in literals:
            yield source.at(node.lineno, f"{owner}.{name} is lenient; use the parse_ functions of sigcore.strict")


def _takes_literals(node: ast.Call) -> bool:
    return bool(node.args) and all(isinstance(argument, ast.Constant) for argument in node.args)


def _members(tree: ast.Module, table: dict[str, frozenset[str]]) -> Iterator[tuple[ast.expr | ast.stmt, str, str]]:
    """Each mention of ``owner.name`` of the table: as an attribute of an imported name, or by ``from owner import name``."""
    owners = {"bytes": "bytes"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            owners |= {alias.asname or alias.name: alias.name for alias in node.names}
            module = getattr(node, "module", None) or ""
            yield from ((node, module, alias.name) for alias in node.names if alias.name in table.get(module, ()))
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            owner = _owner(node.value, owners)
            if node.attr in table.get(owner, ()):
                yield node, owner, node.attr


def _owner(node: ast.expr, owners: dict[str, str]) -> str:
    """The imported thing that an expression names: ``dt`` and ``datetime.datetime`` both mean ``datetime``."""
    if isinstance(node, ast.Attribute):
        return node.attr if _owner(node.value, owners) else ""
    return owners.get(node.id, "") if isinstance(node, ast.Name) else ""


def http_at_the_edge(source: Source) -> Iterator[str]:
    """Status codes and requests stay in the modules that are named for their interface."""
    if source.package not in NEIGHBOURS or source.path.stem in EDGES:
        return
    for line, name in source.imports:
        if name.partition(".")[0] in ("aiohttp", "http"):
            yield source.at(line, f"imports {name}; HTTP belongs to {', '.join(sorted(EDGES))}.py")


# --- form --------------------------------------------------------------------------------------------
def spdx_line(source: Source) -> Iterator[str]:
    """The licence is the first line."""
    if not source.text.startswith("# SPDX-License-Identifier: Apache-2.0\n"):
        yield source.at(1, "the first line must be `# SPDX-License-Identifier: Apache-2.0`")


def telling_names(source: Source) -> Iterator[str]:
    """A module is named for what it knows."""
    for part in source.path.with_suffix("").parts:
        if part in WEASEL_NAMES:
            yield source.at(1, f"{part} says nothing about what it holds; name it for its subject")


def reasoned_exceptions(source: Source) -> Iterator[str]:
    """Each ``noqa`` and ``type: ignore`` names its code and then its reason."""
    for token in tokenize.generate_tokens(io.StringIO(source.text).readline):
        if token.type != tokenize.COMMENT:
            continue
        if re.search(r"#\s*noqa", token.string) and not re.search(
            r"# noqa: [A-Z]+\d+(, [A-Z]+\d+)* (-|  ?#) \w.+", token.string
        ):
            yield source.at(token.start[0], "write `# noqa: CODE - reason`")
        if "type: ignore" in token.string and not re.search(r"# type: ignore\[[\w, -]+\]  # \w.+", token.string):
            yield source.at(token.start[0], "write `# type: ignore[code]  # reason`")


# --- budgets -----------------------------------------------------------------------------------------
def file_budget(sources: Sequence[Source]) -> Iterator[str]:
    """Lines of a file: median, 95th percentile and maximum."""
    sizes = {f"{source.path}": source.text.count("\n") for source in sources if source.text.count("\n") > 2}
    yield from _over_budget("lines in a file", sizes, FILE_LINES)


def function_budget(sources: Sequence[Source]) -> Iterator[str]:
    """Lines of a function's body, its docstring not counted: median, 95th percentile and maximum."""
    sizes = {
        f"{source.path}:{node.lineno} {node.name}": _body_lines(node)
        for source in sources
        for node in ast.walk(source.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    yield from _over_budget("lines in a function's body", sizes, BODY_LINES)


def _body_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    body = node.body[1:] if ast.get_docstring(node) is not None else node.body
    return (node.end_lineno or node.lineno) - body[0].lineno + 1 if body else 0


def _over_budget(what: str, sizes: dict[str, int], budget: tuple[int, int, int]) -> Iterator[str]:
    ranked = sorted(sizes.items(), key=lambda item: item[1])
    if not ranked:
        return
    median, percentile = statistics.median(sizes.values()), ranked[(len(ranked) - 1) * 95 // 100][1]
    for name, found, allowed in (("median", median, budget[0]), ("95th percentile", percentile, budget[1])):
        if found > allowed:
            longest = ", ".join(f"{place} ({size})" for place, size in ranked[-8:])
            yield f"{what}: the {name} is {found:.0f}, the budget {allowed}; the longest: {longest}"
    yield from (f"{place}: {size} {what}, the budget is {budget[2]}" for place, size in ranked if size > budget[2])


SHIPPED_RULES: tuple[Rule, ...] = (
    floors,
    absolute_imports,
    dynamic_imports,
    pure_core,
    frozen_core,
    clocks,
    strict_decoding,
    http_at_the_edge,
)
"""For the seven packages."""
EVERYWHERE_RULES: tuple[Rule, ...] = (spdx_line, telling_names, reasoned_exceptions)
"""For tests and benchmarks too."""
WHOLE_RULES: tuple[WholeRule, ...] = (cycles, file_budget, function_budget, real_types)
"""Over all files of the seven packages together."""
