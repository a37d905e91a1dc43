"""Optimizers without the import of torch's compiler, 1.5 seconds, as long as nobody compiles.

Their methods import `torch._dynamo` when they are first called, to keep out of graphs that are compiled or to break
them. While nothing else has loaded it there is no graph, and the methods are called as they are written; afterwards,
as torch has it.
"""

import sys
from collections.abc import Callable
from functools import partial, wraps

import torch
from torch.optim import Optimizer, optimizer

# Private names of torch; where a version has others, its optimizers stay as they are.
DISABLE = getattr(torch, "_disable_dynamo", None)
BREAK = getattr(optimizer, "_use_grad_for_differentiable", None)
DISABLED = "__dynamo_disable"  # where what DISABLE returns looks for the function to call


def is_compiler_loaded() -> bool:
    """Whether anything in this process has loaded it."""
    return "torch._dynamo" in sys.modules


def patch() -> None:
    """Let the methods of all optimizers of torch call what they wrap; does nothing where the compiler is loaded."""
    if is_compiler_loaded():
        return
    for decorated in vars(Optimizer).values():
        if _is_made_by(DISABLE, decorated):
            setattr(decorated.__wrapped__, DISABLED, partial(_call, decorated))
    for kind in vars(torch.optim).values():
        step = vars(kind).get("step") if isinstance(kind, type) and issubclass(kind, Optimizer) else None
        if _is_made_by(BREAK, step):
            kind.step = _step(step)


def _is_made_by(decorator: Callable | None, function: object) -> bool:
    return decorator is not None and getattr(function, "__code__", None) is decorator(patch).__code__


def _call(decorated: Callable, *arguments, **keywords):
    method = decorated.__wrapped__
    if not is_compiler_loaded():
        return method(*arguments, **keywords)
    vars(method).pop(DISABLED, None)  # torch puts its own there
    return decorated(*arguments, **keywords)


def _step(decorated: Callable) -> Callable:
    @wraps(decorated)
    def step(self: Optimizer, *arguments, **keywords):
        if is_compiler_loaded():
            return decorated(self, *arguments, **keywords)
        with torch.set_grad_enabled(self.defaults["differentiable"]):
            return decorated.__wrapped__(self, *arguments, **keywords)

    return step


patch()
