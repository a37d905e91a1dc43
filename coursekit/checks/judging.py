"""A learner's piece of code against ours: cases, known mistakes, and what a difference means in words."""

import contextlib
import copy
import io
import signal
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from coursekit.checks import diagnosis
from coursekit.checks.diagnosis import NotDone, Wrong
from coursekit.checks.verdict import NOT_DONE, PASSED, WRONG, Verdict

SECONDS = 5.0  # for one case; ours take a hundredth of one
IN_PLACE = "Work on a copy. x -= …, x *= … and x[…] = … write into the array that you were given."


@dataclass(frozen=True, eq=False)
class Case:
    """One input, what is special about it in words, and the hint for code that fails only there."""

    words: str
    inputs: Mapping[str, object]
    hint: str = ""


@dataclass(frozen=True)
class Mistake:
    """A way to be wrong: code that gives the same values as the learner's has told us what the learner did."""

    hint: str
    code: Callable


def call(mine: Callable, inputs: Mapping) -> dict:
    """The usual probe: one call, one result without a name."""
    return {"": mine(*inputs.values())}


@dataclass(frozen=True)
class Piece:
    """What a learner writes: how it is called, our own, the cases in which both are compared, simple ones first.

    `probe` takes an implementation and a case's inputs and returns named results; None stands for what is not written.
    `tolerance` is relative to the largest number of a result.
    """

    name: str
    form: str
    ours: Callable
    cases: Sequence[Case]
    mistakes: Sequence[Mistake] = ()
    probe: Callable[[Callable, Mapping], dict] = call
    hint: str = ""
    tolerance: float = 1e-6
    changes: frozenset[str] = field(default_factory=frozenset)  # inputs that it may write into


def judge(piece: Piece, mine: Callable) -> Verdict:
    """Every case in turn, up to the first that fails; raises nothing, whatever the learner's code does."""
    if mine is None or mine is ...:
        return Verdict(piece.name, NOT_DONE, "not done yet")
    if not callable(mine):
        said = f"is a {type(mine).__name__}; hand over {piece.form.split('(')[0]} itself, without calling it"
        return Verdict(piece.name, WRONG, said)
    try:
        for case in piece.cases:
            _compare(piece, mine, case)
    except NotDone as missing:
        part = f" ({missing})" if str(missing) else ""
        return Verdict(piece.name, NOT_DONE, f"not done yet{part}")
    except Wrong as wrong:
        return Verdict(piece.name, WRONG, wrong.message, wrong.hint, wrong.shown)
    return Verdict(piece.name, PASSED, f"passes {len(piece.cases)} cases")


def _compare(piece: Piece, mine: Callable, case: Case) -> None:
    inputs = copy.deepcopy(case.inputs)
    try:
        yours = _run(piece, mine, inputs)
    except (Wrong, NotDone):
        raise
    except NotImplementedError:
        raise NotDone from None
    except Exception as error:
        said, hint = diagnosis.of_exception(error, piece.form)
        if not isinstance(error, TimeoutError):  # which would be waited for again
            hint = _mistake(piece, mine, case, None) or case.hint or hint
        raise Wrong(f"wrong for {case.words}: {said}", hint, case.inputs) from None
    right = _run(piece, piece.ours, copy.deepcopy(case.inputs))
    missing = [name for name in right if yours.get(name) is None or yours[name] is ...]
    if len(missing) == len(right):
        raise NotDone
    for name, before in case.inputs.items():
        if name not in piece.changes and not diagnosis.equal(inputs[name], before, 0):
            raise Wrong(f"wrong for {case.words}: it changes its input {name}", IN_PLACE, {name: before})
    for name, expected in right.items():
        if name not in missing and not diagnosis.equal(yours[name], expected, piece.tolerance):
            said, hint = diagnosis.of_values(yours[name], expected, piece.tolerance, _batch(case))
            subject = name or "the result"
            values = {"yours": yours[name], "expected": expected}
            hint = _mistake(piece, mine, case, name) or case.hint or hint or piece.hint
            raise Wrong(f"wrong for {case.words}: {subject} {said}", hint, dict(case.inputs) | values)
    if missing:
        raise NotDone(", ".join(missing))


def _run(piece: Piece, code: Callable, inputs: Mapping) -> dict:
    with np.errstate(all="ignore"), warnings.catch_warnings(), _time_limit(SECONDS):
        warnings.simplefilter("ignore")
        return piece.probe(code, inputs)


def _mistake(piece: Piece, mine: Callable, failing: Case, name: str | None) -> str:
    """The hint of the mistake that gives what the learner's code gives, there and in the cases before.

    Of several the one that agrees best: in all cases, in the simple ones, in these for the wrong result `name` alone
    (None: an exception, so all results).
    """
    place = piece.cases.index(failing)
    wrong = None if name is None else [name]
    mine_gives = [_attempt(piece, mine, case) for case in piece.cases]
    simple = [i for i, case in enumerate(piece.cases) if i <= place or not case.hint]
    found: dict[int, str] = {}
    for mistake in piece.mistakes:
        there = _attempt(piece, mistake.code, failing)
        if not _agree(mine_gives[place], there, wrong, piece.tolerance):
            continue
        gives = [there if i == place else _attempt(piece, mistake.code, case) for i, case in enumerate(piece.cases)]
        whole = [_agree(a, b, None, piece.tolerance) for a, b in zip(mine_gives, gives, strict=True)]
        in_part = [_agree(a, b, wrong, piece.tolerance) for a, b in zip(mine_gives, gives, strict=True)]
        if all(whole):
            found.setdefault(0, mistake.hint)
        elif all(whole[i] for i in simple):
            found.setdefault(1, mistake.hint)
        elif all(whole[:place]) and all(in_part[i] for i in simple):
            found.setdefault(2, mistake.hint)
    return found[min(found)] if found else ""


def _agree(a: dict | type, b: dict | type, names: Sequence[str] | None, tolerance: float) -> bool:
    """Whether two attempts raised the same, or gave the same under these names (None: all) as far as both have them."""
    if not (isinstance(a, dict) and isinstance(b, dict)):
        return a is b
    names = [name for name in a if name in b] if names is None else [name for name in names if name in a and name in b]
    return all(diagnosis.equal(a[name], b[name], tolerance) for name in names)


def _attempt(piece: Piece, code: Callable, case: Case) -> dict | type:
    """The results in one case, or the kind of the exception; nothing printed, that was seen in the comparison."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            return _run(piece, code, copy.deepcopy(case.inputs))
    except Exception as error:
        return type(error)


def _batch(case: Case) -> int:
    """Rows of the first array."""
    arrays = [value for value in case.inputs.values() if isinstance(value, np.ndarray) and value.ndim > 1]
    return len(arrays[0]) if arrays else 1


@contextlib.contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """Raise TimeoutError inside after some time, where the system has signals and we are the main thread."""
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_) -> None:
        raise TimeoutError(f"not finished after {seconds:g} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
