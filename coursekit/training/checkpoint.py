"""A training's state on disk: immutable files that know their own digest, the newest two kept."""

import contextlib
import io
import math
import os
import pickle
import platform
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

import psutil
import torch
from torch import Tensor, nn

from coursekit import files
from coursekit.errors import StorageError
from coursekit.training import threads

KEPT = 2
NAME = re.compile(r"step-(\d{9})\.([0-9a-f]{16})\.pt")
WRITER = ".writer"  # who trains here: advice, no lock (network drives have none)


@dataclass
class Progress:
    """How far a training is, apart from model and optimizer; plain values, so that a checkpoint holds no code."""

    step: int = 0
    seconds: float = 0.0
    history: list[dict] = field(default_factory=list)
    probes: list[dict] = field(default_factory=list)
    totals: Tensor | None = None  # of the epoch that is running
    best_accuracy: float = -1.0
    best_state: dict | None = None
    exact: bool = True  # False after a resume on another kind of machine, or in other company
    steps_per_epoch: int = 1
    threads: list[int] = field(default_factory=list)  # that were chosen, the last one in force

    @property
    def epochs(self) -> float:
        """How many are done, parts of one included."""
        return self.step / self.steps_per_epoch


class Stop:
    """While trainings with a folder run, Ctrl-C and SIGTERM only ask; the next step ends them, with a checkpoint.

    A second Ctrl-C ends them at once. Signals reach the main thread alone: elsewhere nothing changes. Meanwhile the
    folders say which process writes there.
    """

    def __init__(self, *folders: Path | None):
        self.asked, self.folders = 0, [folder for folder in folders if folder]
        in_charge = bool(self.folders) and threading.current_thread() is threading.main_thread()
        self.numbers = (signal.SIGINT, signal.SIGTERM) if in_charge else ()

    def __enter__(self) -> "Stop":
        self.before = {number: signal.signal(number, self._ask) for number in self.numbers}
        for folder in self.folders:
            _sign(folder)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)
        for folder in self.folders:
            if _writer(folder) == _here():
                (folder / WRITER).unlink(missing_ok=True)
        if self.asked and kind is None:  # after the last step
            self._leave()

    def _ask(self, number: int, _) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = number

    def leave_if_asked(self, save: Callable[[], None]) -> None:
        """After Ctrl-C `save`, then raise KeyboardInterrupt; after SIGTERM the same with SystemExit (143)."""
        if self.asked:
            save()
            self._leave()

    def _leave(self) -> None:
        raise KeyboardInterrupt if self.asked == signal.SIGINT else SystemExit(128 + self.asked)


def write(
    folder: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    progress: Progress,
    company: str = "alone",
    settings: Mapping[str, object] | None = None,
) -> None:
    """Everything that the next step depends on: weights, buffers, optimizer, progress, random state; the `settings` of
    its batches; and on what kind of machine and in what `company` (see `company`) they were made. Of a run that has
    diverged nothing: resumed before that, it diverges again and says how.
    """
    if progress.totals is not None and not progress.totals[0].isfinite():
        return
    random = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        random["cuda"] = torch.cuda.get_rng_state()
    plain = {field.name: getattr(progress, field.name) for field in fields(progress)}
    plain["probes"] = [{name: float(value) for name, value in values.items()} for values in progress.probes]
    weights = {name: value.clone() for name, value in model.state_dict().items()}  # of a stack: without its neighbours
    state = {"model": weights, "optimizer": optimizer.state_dict(), "progress": plain, "random": random}
    made = {"settings": _settings(optimizer), "machine": _machine() | {"trained": company}, "batches": settings or {}}
    save(folder, progress.step, state | made)


def restore(
    folder: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    company: str = "alone",
    step: int | None = None,
    settings: Mapping[str, object] | None = None,
    ratio: Callable[[int], float] | None = None,
) -> Progress:
    """Put model, optimizer and random state back as the newest checkpoint has them, or the one of `step` (0: none); a
    new Progress where there is none.

    On another kind of machine, or in other company, it resumes with a warning, and `exact` is False. Raises
    StorageError when the checkpoint is another run's (model, hyper-parameters, `settings` of the batches, `ratio` of
    the lr in the epochs that are done), when none is readable, or when the folder cannot be written.
    """
    files.probe(folder)
    if step is not None:
        _drop_after(folder, step)
    state = load(folder, next(model.parameters()).device)
    if state is None:
        return Progress()
    changed = _changes(_shapes(state["model"]), _shapes(model.state_dict()))
    # How the steps are computed is the checkpoint's: a run that leaves its stack goes on with a fused optimizer.
    stored, here = ({n: v for n, v in s.items() if "fused" not in n} for s in (state["settings"], _settings(optimizer)))
    batches = state.get("batches") or settings or {}  # of an older checkpoint nobody knows
    changed = changed or _changes(stored, here) or _changes(batches, dict(settings or batches))
    changed = changed or (_other_rates(state["progress"]["history"], stored["lr"], ratio) if ratio else "")
    if changed:
        raise StorageError(f"{folder} belongs to another run: {changed}; use another folder or delete it")
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    _lay_out_as_parameters(optimizer)
    torch.set_rng_state(state["random"]["cpu"].cpu())
    if "cuda" in state["random"] and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["random"]["cuda"].cpu())
    progress = Progress(**state["progress"])
    here = _machine() | {"trained": company}
    if progress.threads and threads.is_free():  # then it goes on with those that it had
        here["threads"] = progress.threads[-1]
    elsewhere = _changes({"trained": "alone"} | state["machine"], here)
    if elsewhere:
        progress.exact = False
        print(f"warning: resume of step {progress.step} is approximate: {elsewhere}", file=sys.stderr)
    return progress


def _other_rates(history: Iterable[Mapping], base: float, ratio: Callable[[int], float]) -> str:
    """The first epoch that is done and had another learning rate than the schedule gives, in words."""
    for epoch, row in enumerate(history):
        lr = base * ratio(epoch)
        if "lr" in row and not math.isclose(lr, row["lr"], rel_tol=1e-6, abs_tol=1e-12):
            return f"lr of epoch {epoch + 1} {row['lr']:.4g} -> {lr:.4g}"
    return ""


def company(folders: Sequence[Path]) -> str:
    """In words who is trained as one, each known by its folder: a stack of others rounds otherwise."""
    names = files.sha256("\n".join(folder.name for folder in folders).encode())
    return f"as one of {len(folders)} ({names[:6]})"


def common_step(folders: Iterable[Path]) -> int | None:
    """The last step that every folder has an intact checkpoint of: 0 where none has any, None where they share none."""
    steps = [
        {int(NAME.fullmatch(path.name)[1]) for path in _newest_first(folder) if _intact(path)} for folder in folders
    ]
    return max(set.intersection(*steps), default=None) if any(steps) else 0


def _intact(path: Path) -> bool:
    with contextlib.suppress(OSError):
        return files.sha256(path.read_bytes())[:16] == NAME.fullmatch(path.name)[2]
    return False


def _drop_after(folder: Path, step: int) -> None:
    for path in _newest_first(folder):
        if int(NAME.fullmatch(path.name)[1]) > step:
            path.unlink(missing_ok=True)


def _lay_out_as_parameters(optimizer: torch.optim.Optimizer) -> None:
    """Give every state of a parameter's shape its memory format, whatever the one it was saved in.

    torch's fused SGD reads a momentum buffer in the memory order of the parameter: in another it updates wrong weights.
    """
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape and value.stride() != parameter.stride():
                state[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)


def _sign(folder: Path) -> None:
    """Leave word that this process writes here now; a warning where another one does that still runs."""
    before = _writer(folder)
    pid, _, host = before.partition(" ")
    if before != _here() and host == platform.node() and pid.isdigit() and psutil.pid_exists(int(pid)):
        _warn_of(before, folder)
    with contextlib.suppress(OSError):
        (folder / WRITER).write_text(_here(), encoding="utf-8")


def _here() -> str:
    return f"{os.getpid()} {platform.node()}"


def _writer(folder: Path) -> str:
    """Process and host that have signed last; nothing where nobody has."""
    try:
        return (folder / WRITER).read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""


def _warn_of(writer: str, folder: Path) -> None:
    pid, _, host = writer.partition(" ")
    if (writer, folder) not in _warned:
        print(f"warning: another process (pid {pid} on {host}) writes to {folder}", file=sys.stderr)
    _warned.add((writer, folder))


_warned: set[tuple[str, Path]] = set()


def _settings(optimizer: torch.optim.Optimizer) -> dict:
    """The optimizer's hyper-parameters as they were before any schedule, in plain values."""
    settings: dict = {"optimizer": type(optimizer).__name__}
    for number, group in enumerate(optimizer.state_dict()["param_groups"]):
        plain = {"lr": group.get("initial_lr", group["lr"])} | {
            name: str(value) for name, value in group.items() if name not in ("params", "lr", "initial_lr")
        }
        settings |= {f"{name} of group {number}" if number else name: value for name, value in plain.items()}
    return settings


def _machine() -> dict:
    """What decides the last bits of a sum."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else torch.backends.cpu.get_cpu_capability()
    return {"threads": torch.get_num_threads(), "instructions": device, "torch": str(torch.__version__)}


def _shapes(state: Mapping) -> dict:
    return {name: "×".join(map(str, value.shape)) or "scalar" for name, value in state.items()}


def _changes(stored: dict, here: dict) -> str:
    """The first three differences in words; nothing when there is none."""
    names = [name for name in stored | here if stored.get(name) != here.get(name)]
    return ", ".join(f"{name} {stored.get(name, 'none')} -> {here.get(name, 'none')}" for name in names[:3])


def save(folder: Path, step: int, state: dict) -> Path:
    """Write the state after `step` steps and drop all but the newest two files."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    content = buffer.getvalue()
    path = folder / f"step-{step:09d}.{files.sha256(content)[:16]}.pt"
    files.remove_temporaries(folder)
    if _writer(folder) not in ("", _here()):
        _warn_of(_writer(folder), folder)
    try:
        files.write_bytes(path, content)
    except StorageError as error:
        last = [int(NAME.fullmatch(kept.name)[1]) for kept in _newest_first(folder)[:1]]
        raise StorageError(f"{error}; {f'step {last[0]} is intact' if last else 'no checkpoint yet'}") from error
    for old in _newest_first(folder)[KEPT:]:
        old.unlink(missing_ok=True)
    return path


def load(folder: Path, device: torch.device | str = "cpu") -> dict | None:
    """The newest state whose bytes are those that were written; None where there is no checkpoint.

    A damaged file is named on stderr and the one before it is used. Raises StorageError when all are damaged: starting
    again in silence would hide the loss.
    """
    paths = _newest_first(folder)
    for path in paths:
        reason = "sha256 differs"
        try:
            content = path.read_bytes()
        except FileNotFoundError:  # dropped this moment by another process on the same run, which has newer ones
            continue
        except OSError as error:
            content, reason = b"", str(error.strerror)
        if files.sha256(content)[:16] == NAME.fullmatch(path.name)[2]:
            return _plain(path, content, device)
        print(f"warning: checkpoint {path.name} is damaged ({reason}), using the one before", file=sys.stderr)
    if paths and not any(path.exists() for path in paths):
        return load(folder, device)
    if paths:
        names = ", ".join(path.name for path in paths)
        raise StorageError(f"no readable checkpoint in {folder} (damaged: {names}); delete them to start again")
    return None


def _plain(path: Path, content: bytes, device: torch.device | str) -> dict:
    try:
        return torch.load(io.BytesIO(content), map_location=device, weights_only=True)
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL ([\w.]+)", str(error))
        raise StorageError(f"{path} contains code ({named[1] if named else 'unknown'}), refused") from None


def _newest_first(folder: Path) -> list[Path]:
    """By the step in the name; clocks and directory listings lie."""
    found = [path for path in folder.glob("step-*.pt") if NAME.fullmatch(path.name)]
    return sorted(found, key=lambda path: path.name, reverse=True)
