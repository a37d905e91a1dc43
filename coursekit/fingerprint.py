"""A name for a computation: its configuration and the source code that it reaches, so a stale result is never met."""

import ast
import contextlib
import dis
import functools
import hashlib
import inspect
import json
import linecache
import math
import sys
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from pathlib import PurePath
from types import CodeType, FunctionType, ModuleType, SimpleNamespace

import numpy as np

from coursekit.errors import UsageError

# Where the pixels come from and how results are kept do not change a result: the data's checksum is part of the key.
OUTSIDE = {
    f"coursekit.{room}"
    for room in ("data", "download", "samples", "storage", "results", "errors", "checkpoint", "fingerprint")
}
INSTALLED = {"site-packages", "dist-packages"}
PLAIN = bool | int | float | str | range | list | tuple | Mapping | np.generic
QUOTES = ("'", '"', '"""', "'''")  # in the order of preference


def describe(value):
    """Plain JSON for a configuration value; callables become their name and bound arguments.

    Raises UsageError for a value that has no description of its own.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | str) or (isinstance(value, float) and math.isfinite(value)):
        return value
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): describe(item) for key, item in value.items()}
    if isinstance(value, list | tuple | range):
        return [describe(item) for item in value]
    if isinstance(value, functools.partial):
        return {"call": describe(value.func), "args": describe(value.args), **describe(value.keywords)}
    if is_dataclass(value) and not isinstance(value, type):
        described = {field: describe(getattr(value, field.name)) for field in fields(value)}
        # A field at its default is left out, so that a new field does not rename the runs that do not use it.
        set_here = {f.name: d for f, d in described.items() if f.default is MISSING or d != describe(f.default)}
        return {"call": _name(type(value)), **set_here} if callable(value) else set_here
    if isinstance(value, FunctionType):
        closed = zip(value.__code__.co_freevars, value.__closure__ or (), strict=True)
        cells = {name: describe(cell.cell_contents) for name, cell in closed}
        return {"call": _name(value), **cells} if cells else _name(value)
    if isinstance(value, type):
        return _name(value)
    raise UsageError(f"cannot build a key from {value!r} (type {type(value).__name__})")


def _name(thing) -> str:
    # A function of a notebook belongs to __main__ here and to another module there: its source tells, not its module.
    from_notebook = "." not in thing.__module__ and _is_ours(thing)
    return thing.__qualname__ if from_notebook else f"{thing.__module__}.{thing.__qualname__}"


def key(description, *callables: Callable) -> str:
    """SHA-256 of a description and of all the code of ours that the callables reach."""
    text = json.dumps(description, sort_keys=True, allow_nan=False)
    return hashlib.sha256(json.dumps([text, sorted(_reached(list(callables)))]).encode()).hexdigest()


def _reached(todo: list) -> set[tuple[str, str]]:
    """Name and normalised source of every function and class of ours that these use, however far down; constants."""
    found: set[tuple[str, str]] = set()
    seen: dict[int, object] = {}  # holds the objects, so that no id is used twice
    while todo:
        thing = todo.pop()
        if callable(thing) and not isinstance(thing, type):
            thing = inspect.unwrap(thing)  # from a decorator, functools.cache say
        if id(thing) in seen:
            continue
        seen[id(thing)] = thing
        if isinstance(thing, functools.partial):
            todo += [thing.func, *thing.args, *thing.keywords.values()]
        elif isinstance(thing, list | tuple):
            todo += thing
        elif isinstance(thing, Mapping):
            todo += thing.values()
        elif isinstance(thing, FunctionType | type):
            if _is_ours(thing):
                found |= {(_name(thing), _source(thing)), *_constants(thing)}
                todo += _used(thing)
        elif is_dataclass(thing):
            todo += [type(thing), *vars(thing).values()]
    return found


def _is_ours(thing) -> bool:
    """Written in coursekit, in a notebook or beside it: not part of Python, not installed."""
    module = thing.__name__ if isinstance(thing, ModuleType) else getattr(thing, "__module__", None) or "builtins"
    if module in OUTSIDE or module in sys.stdlib_module_names:
        return False
    file = getattr(sys.modules.get(module), "__file__", None)
    # Wherever that is: beside this Python, with the system's, or in the home folder (pip install --user).
    installed = file is None or not INSTALLED.isdisjoint(PurePath(file).parts)
    return module == "__main__" or module.startswith("coursekit") or not installed


def _source(thing) -> str:
    """The code without comments, docstrings and layout: what the machine does."""
    return _normalised(thing, tuple(function.__code__ for function in _functions(thing)))


@functools.cache
def _normalised(thing, _codes: tuple[CodeType, ...]) -> str:
    # IPython's autoreload puts new code into the old function.
    if thing.__name__ == "<lambda>":
        # Two of them on one line have the same name and the same source.
        raise UsageError(f"cannot build a key from a lambda in {thing.__module__}: give the function a name")
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(thing)))
    except OSError:
        tree = _class_in_cell(thing)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(_OneNotation().visit(tree))


class _OneNotation(ast.NodeTransformer):
    """f-strings as Python 3.11 writes them; later ones choose other quotes, and a key must not tell them apart."""

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.expr:
        node = self.generic_visit(node)
        written = [ast.unparse(ast.JoinedStr([part])).removeprefix("f") for part in node.values]
        text = "".join(part[3:-3] if part[:3] in QUOTES else part[1:-1] for part in written)
        free = next((quote for quote in QUOTES if quote not in text and text[-1:] != quote[0]), None)
        return ast.Name(f"f{free}{text}{free}") if free else node

    def visit_FormattedValue(self, node: ast.FormattedValue) -> ast.expr:
        node.value = self.visit(node.value)  # not its format, which is an f-string without quotes
        return node


def _class_in_cell(cls: type) -> ast.AST:
    """A class of a notebook, which inspect does not find, by way of its methods, which know their cell."""
    for method in vars(cls).values():
        cell = linecache.getlines(method.__code__.co_filename) if isinstance(method, FunctionType) else []
        for node in ast.walk(ast.parse("".join(cell))):
            if isinstance(node, ast.ClassDef) and node.name == cls.__name__:
                return node
    raise UsageError(f"cannot build a key from {cls.__name__}: its source is nowhere; give it a method, or a file")


def _functions(thing) -> list[FunctionType]:
    """The function itself, or all methods of a class and of its bases of ours."""
    members = _members(thing) if isinstance(thing, type) else [thing]
    return [inspect.unwrap(member) for member in members if isinstance(member, FunctionType)]


def _members(cls: type) -> list:
    found = [member for base in cls.__mro__ if _is_ours(base) for member in vars(base).values()]
    return [getattr(member, "__func__", getattr(member, "fget", member)) for member in found]


def _used(thing) -> list:
    """Functions, classes and tables that the code of a function, or of all methods of a class, refers to."""
    used = [*thing.__mro__[1:], *(m for m in _members(thing) if isinstance(m, type))] if isinstance(thing, type) else []
    for function in _functions(thing):
        names = _names(function.__code__)
        found = [function.__globals__[name] for name in names if name in function.__globals__]
        for value in found:  # grows: a module leads to what is in it, which may be a module
            if isinstance(value, ModuleType) and _is_ours(value):
                inside = [getattr(value, name) for name in names if hasattr(value, name)]
                found += [item for item in inside if not any(item is other for other in found)]
        used += found + list(_bound(function).values())
    return used


def _constants(thing) -> set[tuple[str, str]]:
    """Plain values that code of a notebook reads from outside its own text: globals, closures, defaults, attributes.

    Those of coursekit change with its code alone.
    """
    if thing.__module__.startswith("coursekit"):
        return set()
    read = {}
    for function in _functions(thing):
        values = {name: function.__globals__.get(name) for name in _globals(function.__code__)} | _bound(function)
        read |= {f"{_name(function)}: {name}": value for name, value in values.items()}
    for base in filter(_is_ours, thing.__mro__ if isinstance(thing, type) else ()):
        read |= {f"{_name(base)}.{name}": value for name, value in vars(base).items() if not name.startswith("__")}
    found = set()
    for name, value in read.items():
        value = vars(value) if isinstance(value, SimpleNamespace) else value
        value = sorted(value, key=repr) if isinstance(value, set | frozenset) else value
        if isinstance(value, PLAIN) or (is_dataclass(value) and not isinstance(value, type)):
            with contextlib.suppress(UsageError):  # tensors and the like: the data's checksum stands for them
                found.add((name, json.dumps(describe(value), sort_keys=True)))
    return found


def _bound(function: FunctionType) -> dict:
    """What a function took along when it was defined: the values of its closure and of its defaults."""
    closed = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    defaults = dict(enumerate(function.__defaults__ or ())) | (function.__kwdefaults__ or {})
    return {name: cell.cell_contents for name, cell in closed} | {f"default {k}": v for k, v in defaults.items()}


def _globals(code: CodeType) -> set[str]:
    """Names of the global variables that are read, without those of attributes."""
    here = {step.argval for step in dis.get_instructions(code) if step.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
    return here.union(*map(_globals, _nested(code)))


def _names(code: CodeType) -> set[str]:
    return set(code.co_names).union(*map(_names, _nested(code)))


def _nested(code: CodeType) -> list[CodeType]:
    return [constant for constant in code.co_consts if isinstance(constant, CodeType)]
