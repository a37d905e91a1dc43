"""The key of a result: configuration in one spelling, data, `NUMERICS`, and the source of what a run hands over."""

import ast
import contextlib
import dis
import functools
import hashlib
import inspect
import json
import linecache
import math
import os
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path, PurePath
from types import CodeType, FunctionType, ModuleType, SimpleNamespace

import numpy as np
import psutil

from coursekit.errors import UsageError

# Raise it when the numbers of the machinery (loop, evaluation, batches, stacks, NumPy trainings) change on purpose:
# every stored result is then trained again. `tests/test_golden.py` fails when they change.
NUMERICS = 1

STARTED = psutil.Process().create_time()  # files that are older are what this process has imported

# Rooms whose code a run can hand over. Code of any other room is machinery, which NUMERICS stands for.
HANDED_OVER = {
    "analysis.diagnostics",
    "analysis.landscape",
    "data.augment",
    "models.networks",
    "models.residual",
    "scratch.layers",
    "scratch.networks",
    "training.losses",
    "training.penalties",
    "training.schedules",
}
INSTALLED = {"site-packages", "dist-packages"}
PLAIN = bool | int | float | str | range | list | tuple | Mapping | np.generic
NOT_CODE = {"annotation", "returns", "type_comment", "type_params", "type_ignores", "ctx", "kind"}


def key(description, *handed_over) -> str:
    """SHA-256 of `NUMERICS`, a description, and the source of the callables that are handed over, in any container.

    With each callable counts what it uses among `HANDED_OVER` and in the notebook, and the plain values that it reads.
    """
    parts = [NUMERICS, description, sorted(_sources(handed_over))]
    return hashlib.sha256(json.dumps(parts, sort_keys=True, allow_nan=False).encode()).hexdigest()


def describe(value):
    """A configuration value as plain JSON, the same for each spelling of it.

    Arguments go by name and are left out where they equal the default, so that a new parameter renames nothing. Ours go
    by name without their module, so that files may move. Raises UsageError for what has no description of its own.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and math.isfinite(value):
        value = float(f"{value:.12g}")  # processors differ in the last digits of a power or a logarithm
        return int(value) if value.is_integer() else value
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, PurePath):
        return value.as_posix()
    if isinstance(value, Mapping):
        return {str(name): describe(item) for name, item in value.items()}
    if isinstance(value, list | tuple | range):
        return [describe(item) for item in value]
    if isinstance(value, functools.partial):
        return _short(describe_call(value.func, value.args, value.keywords))
    if is_dataclass(value) and not isinstance(value, type):
        changed = {
            field.name: described
            for field in fields(value)
            if not _is_default(described := describe(getattr(value, field.name)), field.default)
        }
        return _short({"call": _name(type(value)), **changed}) if callable(value) else changed
    if isinstance(value, FunctionType):
        return _short({"call": _name(value), **describe(_closure(value))})
    if isinstance(value, type):
        return _name(value)
    raise UsageError(f"cannot build a key from {value!r} (type {type(value).__name__})")


def _is_default(described, default) -> bool:
    return default is not MISSING and default is not inspect.Parameter.empty and described == describe(default)


def describe_call(function: Callable, arguments: Iterable = (), keywords: Mapping | None = None) -> dict:
    """A call in one spelling: arguments by parameter, without those that equal the default.

    Raises UsageError for arguments that the function does not take.
    """
    try:
        signature = inspect.signature(function)
        bound = signature.bind_partial(*arguments, **(keywords or {})).arguments
    except (TypeError, ValueError) as error:
        raise UsageError(f"{getattr(function, '__name__', function)}: {error}") from None
    described = {"call": _name(function)} if isinstance(function, FunctionType | type) else {"call": describe(function)}
    for name, value in bound.items():
        parameter = signature.parameters[name]
        if parameter.kind is parameter.VAR_KEYWORD:
            described |= describe(value)
        elif not _is_default(argument := describe(value), parameter.default):
            described[name] = argument
    return described


def _short(call: dict):
    return call if len(call) > 1 else call["call"]


def _name(thing) -> str:
    return thing.__qualname__ if _is_ours(thing) else f"{thing.__module__}.{thing.__qualname__}"


def _is_ours(thing) -> bool:
    """Written in coursekit, in a notebook or beside it: not part of Python, not installed."""
    module = thing.__name__ if isinstance(thing, ModuleType) else getattr(thing, "__module__", None) or "builtins"
    if module == "__main__" or module.split(".")[0] == "coursekit":
        return True
    file = getattr(sys.modules.get(module), "__file__", None)
    # Wherever that is: beside this Python, with the system's, or in the home folder (pip install --user).
    installed = file is None or not INSTALLED.isdisjoint(PurePath(file).parts)
    return not installed and module.split(".")[0] not in sys.stdlib_module_names


def _is_machinery(thing) -> bool:
    package, _, room = thing.__module__.partition(".")
    return package == "coursekit" and room not in HANDED_OVER


def _sources(handed_over: Iterable) -> set[tuple[str, str]]:
    """Name and code of what is handed over and of what it uses, short of the machinery, with the values they read."""
    todo, sources = [(thing, True) for thing in handed_over], set()
    seen: dict[int, object] = {}  # holds the objects, so that no id is used twice
    while todo:
        thing, handed = todo.pop()
        thing = inspect.unwrap(thing) if callable(thing) and not isinstance(thing, type) else thing  # functools.cache
        if (id(thing), handed) in seen:
            continue
        seen[id(thing), handed] = thing
        if isinstance(thing, functools.partial):
            todo += [(part, handed) for part in (thing.func, *thing.args, *thing.keywords.values())]
        elif isinstance(thing, list | tuple | Mapping):
            todo += [(item, handed) for item in (thing.values() if isinstance(thing, Mapping) else thing)]
        elif isinstance(thing, FunctionType | type):
            if _is_ours(thing) and (handed or not _is_machinery(thing)):
                sources |= {(_name(thing), _source(thing)[0]), *_values_read(thing)}
                todo += [(used, False) for used in _used(thing)]
        elif is_dataclass(thing):
            todo += [(part, handed) for part in (type(thing), *vars(thing).values())]
    return sources


def _source(thing) -> tuple[str, frozenset[str]]:
    """The code without comments, docstrings, annotations, guards and layout, the same under every Python; its names.

    A guard is an `if` that only raises: no result depends on it.
    """
    return _normalised(thing, tuple(function.__code__ for function in _functions(thing)))


@functools.cache
def _normalised(thing, _codes: tuple[CodeType, ...]) -> tuple[str, frozenset[str]]:
    # IPython's autoreload puts new code into the old function.
    if thing.__name__ == "<lambda>":
        # Two of them on one line have the same name and the same source.
        raise UsageError(f"cannot build a key from a lambda in {thing.__module__}: give the function a name")
    try:
        tree = ast.parse(textwrap.dedent(_text(thing, _codes)))
    except (OSError, TypeError):
        tree = _class_in_cell(thing)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
        if isinstance(node, ast.JoinedStr):  # Python 3.12.1 ends the format of an f-string with an empty text
            node.values = [part for part in node.values if getattr(part, "value", None) != ""]
        if isinstance(node, ast.Call):  # whether a copy is waited for changes no result
            node.keywords = [keyword for keyword in node.keywords if keyword.arg != "non_blocking"]
        if isinstance(getattr(node, "body", None), list):
            node.body = [statement for statement in node.body if not _is_guard(statement)]
    names = {getattr(node, "id", getattr(node, "attr", "")) for node in ast.walk(tree)}
    return json.dumps(_plain(_WithoutModules(thing).visit(tree))), frozenset(names)


def _is_guard(statement: ast.AST) -> bool:
    only_raises = (
        isinstance(statement, ast.If) and len(statement.body) == 1 and isinstance(statement.body[0], ast.Raise)
    )
    return only_raises and not statement.orelse


class _WithoutModules(ast.NodeTransformer):
    """`training.evaluate` as `evaluate`, where the first is a module of ours: files may move and change their names."""

    def __init__(self, thing):
        functions = _functions(thing)
        found = {name: function.__globals__.get(name) for function in functions for name in _globals(function)}
        self.modules = {name: value for name, value in found.items() if isinstance(value, ModuleType)}

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        self.generic_visit(node)
        module = self.modules.get(getattr(node.value, "id", None))
        if module is None or not _is_ours(module):
            return node
        return ast.copy_location(ast.Name(node.attr), node)


def _plain(node):
    """A syntax tree as lists. `ast.unparse` and `ast.dump` write one tree differently in different Pythons."""
    if isinstance(node, ast.AST):
        parts = {name: _plain(part) for name, part in ast.iter_fields(node) if name not in NOT_CODE}
        return [type(node).__name__, {name: part for name, part in parts.items() if part not in (None, [])}]
    if isinstance(node, list):
        return [_plain(part) for part in node]
    return node if node is None or type(node) in (bool, int, str) else repr(node)


def _text(thing, codes: tuple[CodeType, ...]) -> str:
    """The source that these codes were compiled from.

    Line numbers are those of the file when it was read. Raises UsageError where that code is no longer in the file.
    """
    path = inspect.getsourcefile(thing) or ""
    if thing.__module__ == "__main__" or not os.path.exists(path) or os.stat(path).st_mtime <= STARTED:
        return inspect.getsource(thing)
    lines = Path(path).read_text(encoding="utf-8").splitlines(keepends=True)
    in_file = {code.co_qualname: code for code in _codes_in(compile("".join(lines), path, "exec"))}
    if not all(_same(code, in_file.get(code.co_qualname)) for code in codes if code.co_filename == path):
        raise UsageError(f"{thing.__qualname__}: {path} was edited after it was imported; restart the kernel")
    if isinstance(thing, type):
        return inspect.getsource(thing)  # found by its name
    return "".join(inspect.getblock(lines[in_file[thing.__qualname__].co_firstlineno - 1 :]))


def _codes_in(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes_in(constant)


def _same(code: CodeType, other: CodeType | None) -> bool:
    """Whether two codes compute the same, whatever their lines are."""
    if other is None or (code.co_code, code.co_names) != (other.co_code, other.co_names):
        return False
    pairs = zip(code.co_consts, other.co_consts, strict=False)
    return len(code.co_consts) == len(other.co_consts) and all(
        _same(a, b) if isinstance(a, CodeType) and isinstance(b, CodeType) else a == b for a, b in pairs
    )


def _class_in_cell(cls: type) -> ast.AST:
    """A class of a notebook, which inspect does not find, by way of its methods, which know their cell."""
    for method in vars(cls).values():
        cell = linecache.getlines(method.__code__.co_filename) if isinstance(method, FunctionType) else []
        for node in ast.walk(ast.parse("".join(cell))):
            if isinstance(node, ast.ClassDef) and node.name == cls.__name__:
                return ast.Module([node], [])
    raise UsageError(f"cannot build a key from {cls.__name__}: its source is nowhere; give it a method, or a file")


def _named(thing) -> frozenset[str]:
    """All names in the code of a function, or of a class and its bases of ours, short of those in guards."""
    parts = filter(_is_ours, thing.__mro__) if isinstance(thing, type) else [thing]
    return frozenset().union(*(_source(part)[1] for part in parts))


def _functions(thing) -> list[FunctionType]:
    """The function itself, or all methods of a class and of its bases of ours."""
    members = _members(thing) if isinstance(thing, type) else [thing]
    return [inspect.unwrap(member) for member in members if isinstance(member, FunctionType)]


def _members(cls: type) -> list:
    members = [member for base in cls.__mro__ if _is_ours(base) for member in vars(base).values()]
    return [getattr(member, "__func__", getattr(member, "fget", member)) for member in members]


def _used(thing) -> list:
    """Functions, classes and tables that the code of a function, or of all methods of a class, refers to."""
    used = [*thing.__mro__[1:], *(m for m in _members(thing) if isinstance(m, type))] if isinstance(thing, type) else []
    named = _named(thing)
    for function in _functions(thing):
        names = {name for code in _codes(function.__code__) for name in code.co_names} & named
        values = [function.__globals__[name] for name in names if name in function.__globals__]
        for value in values:  # grows: a module leads to what is in it, which may be a module
            if isinstance(value, ModuleType) and _is_ours(value):
                inside = [getattr(value, name) for name in names if hasattr(value, name)]
                values += [item for item in inside if not any(item is other for other in values)]
        used += values + list(_bound(function).values())
    return used


def _values_read(thing) -> set[tuple[str, str]]:
    """Plain values that code reads from outside its own text: globals, closures, defaults, attributes."""
    read, named = {}, _named(thing)
    for function in _functions(thing):
        values = {name: function.__globals__.get(name) for name in _globals(function) & named} | _bound(function)
        read |= {f"{_name(function)}: {name}": value for name, value in values.items()}
    for base in filter(_is_ours, thing.__mro__ if isinstance(thing, type) else ()):
        read |= {f"{_name(base)}.{name}": value for name, value in vars(base).items() if not name.startswith("__")}
    described = set()
    for name, value in read.items():
        value = vars(value) if isinstance(value, SimpleNamespace) else value
        value = sorted(value, key=repr) if isinstance(value, set | frozenset) else value
        if isinstance(value, PLAIN) or (is_dataclass(value) and not isinstance(value, type)):
            with contextlib.suppress(UsageError):  # tensors and the like: the data's checksum stands for them
                described.add((name, json.dumps(describe(value), sort_keys=True)))
    return described


def _closure(function: FunctionType) -> dict:
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    return {name: cell.cell_contents for name, cell in cells}


def _bound(function: FunctionType) -> dict:
    """What a function took along when it was defined: the values of its closure and of its defaults."""
    defaults = dict(enumerate(function.__defaults__ or ())) | (function.__kwdefaults__ or {})
    return _closure(function) | {f"default {name}": value for name, value in defaults.items()}


def _globals(function: FunctionType) -> set[str]:
    """Names of the global variables that are read, without those of attributes."""
    steps = (step for code in _codes(function.__code__) for step in dis.get_instructions(code))
    return {step.argval for step in steps if step.opname in ("LOAD_GLOBAL", "LOAD_NAME")}


def _codes(code: CodeType) -> list[CodeType]:
    """A code object and those of the functions that are defined in it."""
    nested = (constant for constant in code.co_consts if isinstance(constant, CodeType))
    return [code, *(inner for outer in nested for inner in _codes(outer))]
