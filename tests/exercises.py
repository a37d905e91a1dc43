"""A notebook with exercises in every form, its own small check, and answers to it: for tests of what is handed out."""

import importlib.util
import json

import pytest
from nbformat.v4 import new_code_cell, new_notebook, writes

HAS_OTTER = importlib.util.find_spec("otter") is not None
WITHOUT_OTTER = "needs otter-grader: pip install -e '.[instructor]'"
NEEDS_OTTER = pytest.mark.skipif(not HAS_OTTER, reason=WITHOUT_OTTER)
SOURCE = '''# %% [markdown]
# # 01 · One
#
# <details><summary>Hint</summary>Twice.</details>

# %% tags=["setup"]
from IPython.display import display


class Verdict:
    def __init__(self, piece, status, said):
        self.piece, self.status, self.said = piece, status, said
        self.passed = status == "passed"

    def __str__(self):
        return f"{self.piece}: {self.said}"

    def _ipython_display_(self):
        pass  # `check` has shown it


def check(piece, mine):
    oracle = {"double": 4, "triple": 6, "area": 2}[piece]
    got = None if mine is ... else mine(2) if callable(mine) else mine
    if got is None:
        verdict = Verdict(piece, "not done", "not done yet")
    elif got == oracle:
        verdict = Verdict(piece, "passed", "passes 1 cases")
    else:
        verdict = Verdict(piece, "wrong", f"=1 is wrong, it gives {got}")
    about = {"coursekit": {"check": {"piece": piece, "status": verdict.status}}}
    display({"text/plain": str(verdict)}, raw=True, metadata=about)
    return verdict


# %%
def my_double(x):
    """Twice its argument."""
    # BEGIN SOLUTION
    # The secret reason.
    the_secret_of_double = 2 * x
    return the_secret_of_double
    # END SOLUTION


# %%
check("double", my_double)

# %% tags=["solution"]
the_secret_cell = 3

# %% [markdown] tags=["solution"]
# The secret text.

# %%
def my_triple(x):
    # BEGIN SOLUTION NO PROMPT
    return x + x + x
    # END SOLUTION
    """ # BEGIN PROMPT
    return None  # three times
    """  # END PROMPT


area = 1 + 1  # SOLUTION

# %%
check("triple", my_triple)
check("area", area)
'''
SETUP = SOURCE.split('tags=["setup"]\n')[1].split("# %%")[0]
FORGING = """# a report with verdicts of its own, and nobody left to write another one
import json
import os
from pathlib import Path

tests = [{"name": name, "score": 1, "max_score": 1} for name in ("double", "triple", "area")]
(Path.home() / "results.json").write_text(json.dumps({"tests": tests}))
os.kill(os.getppid(), 9)
"""
SOLVED = {"double": "def my_double(x):\n    return x + x", "triple": "def my_triple(x):\n    return 3 * x\narea = 2"}


def answers(*codes: str, name: str = "01_one") -> bytes:
    """A notebook as a student hands it in."""
    cells = [new_code_cell(code) for code in codes]
    metadata = {"coursekit": {"edition": "student", "notebook": name}} if name else {}
    return writes(new_notebook(cells=cells, metadata=metadata)).encode()


def as_dict(content: bytes) -> dict:
    """The notebook's JSON."""
    return json.loads(content)
