"""A name for a computation: its configuration and the source code that it reaches, so a stale result is never met."""

import ast
import functools
import hashlib
import inspect
import json
import sys
import sysconfig
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from pathlib import PurePath
from types import CodeType, FunctionType, ModuleType

import numpy as np

from coursekit.errors import UsageError

# Where the pixels come from and how results are kept do not change a result: the data's checksum is part of the key.
OUTSIDE = {
    f"coursekit.{room}"
    for room in ("data", "download", "samples", "storage", "results", "errors", "checkpoint", "fingerprint")
}


def describe(value):
    """Plain JSON for a configuration value; callables become their name and bound arguments.

    Raises UsageError for a value that has no description of its own.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | float | str):
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
        # A field at its default is left out, so that a new field does not rename the runs that do not use it.
        set_here = {field.name: getattr(value, field.name) for field in fields(value)}
        return {f.name: describe(set_here[f.name]) for f in fields(value) if set_here[f.name] != f.default}
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
    sources = sorted(_reached(list(callables)).items())
    return hashlib.sha256(json.dumps([text, sources]).encode()).hexdigest()


def _reached(todo: list) -> dict[str, str]:
    """Name and normalised source of every function and class of ours that these callables use, however far down."""
    found: dict[str, str] = {}
    while todo:
        thing = todo.pop()
        if isinstance(thing, functools.partial):
            todo += [thing.func, *thing.args, *thing.keywords.values()]
        elif isinstance(thing, FunctionType | type) and _is_ours(thing) and _name(thing) not in found:
            found[_name(thing)] = _source(thing)
            todo += _used(thing)
    return found


def _is_ours(thing) -> bool:
    """Written in coursekit, in a notebook or beside it: not part of Python, not installed."""
    module = getattr(thing, "__module__", None) or "builtins"
    if module in OUTSIDE or module in sys.stdlib_module_names:
        return False
    file = getattr(sys.modules.get(module), "__file__", None)
    installed = file is None or any(file.startswith(sysconfig.get_path(name)) for name in ("purelib", "platlib"))
    return module == "__main__" or module.startswith("coursekit") or not installed


@functools.cache
def _source(thing) -> str:
    """The code without comments, docstrings and layout: what the machine does."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(thing)))
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)


def _used(thing) -> list:
    """Functions and classes that the code of a function, or of all methods of a class and its bases, refers to."""
    if isinstance(thing, type):
        methods = [getattr(m, "__func__", m) for base in thing.__mro__ if _is_ours(base) for m in vars(base).values()]
        bases = [base for base in thing.__mro__[1:] if base is not object]
        return bases + [used for m in methods if isinstance(m, FunctionType) for used in _used(m)]
    thing = inspect.unwrap(thing)
    names = _names(thing.__code__)
    named = [thing.__globals__[name] for name in names if name in thing.__globals__]
    inside = [getattr(m, name) for m in named if isinstance(m, ModuleType) for name in names if hasattr(m, name)]
    tables = [item for value in named if isinstance(value, dict) for item in value.values()]
    closed = [cell.cell_contents for cell in thing.__closure__ or ()]
    return named + inside + tables + closed


def _names(code: CodeType) -> set[str]:
    nested = [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    return set(code.co_names).union(*map(_names, nested))
