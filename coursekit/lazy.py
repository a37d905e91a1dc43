"""Public names of a package, each imported when it is first used, so that importing the package costs nothing."""

import importlib
from collections.abc import Callable, Mapping


def attach(package: str, public: Mapping[str, str]) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """`__getattr__` and `__dir__` of a package (PEP 562) with these public names.

    Where each is, is written as in an entry point: "runs.sweeps:sweep" is a function, "analysis.plots" a module.
    """

    def find(name: str):
        if name not in public:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module, _, attribute = public[name].partition(":")
        found = importlib.import_module(f"coursekit.{module}")
        return getattr(found, attribute) if attribute else found

    return find, lambda: sorted(public)
