"""A command with limits, without secrets, and gone at the end with all that it started: python -m, by `grade`.

`otter run` has nothing of this, and `otter grade` loads outside of its containers a pickle that comes out of them.
This is not a sandbox: see docs/reliability.md for what it does not protect against.
"""

import contextlib
import ctypes
import json
import os
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from coursekit.errors import NotebookError
from coursekit.execution import kernel

GRACE_S = 20.0  # for the supervisor to start, and to end what it supervises
TIMED_OUT = 124
NO_NETWORK = "coursekit: no network\n"
SAID = "stderr.txt"  # in the command's folder: what it has said there


@dataclass(frozen=True)
class Limits:
    """What one command may use; memory, CPU time and processes are the operating system's limits of each process."""

    seconds: float = 300.0
    cpu_seconds: int = 600
    memory_bytes: int = 8_000_000_000
    file_bytes: int = 200_000_000
    processes: int = 256  # more than the user has when it starts; root has no such limit


def run(
    command: list[str],
    folder: Path,
    limits: Limits,
    settings: dict[str, str] | None = None,
    stop: threading.Event | None = None,
) -> tuple[int, bool]:
    """Run a command in `folder`, its home folder too, with no environment but `settings` and what Python needs.

    Returns its exit code (TIMED_OUT after `limits.seconds`, or when `stop` was set from another thread), and whether it
    was without a network. When this process ends, so does the command. Raises NotebookError where there are no limits.
    """
    if sys.platform == "win32":
        raise NotebookError("other people's notebooks need the limits of Linux or macOS; run this in a container")
    environment = _environment(folder) | (settings or {}) | {kernel.PARENT: str(os.getpid())}
    process = subprocess.Popen(
        [sys.executable, "-m", "coursekit.classroom.confine", json.dumps(asdict(limits)), *command],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + limits.seconds + GRACE_S
    with process:
        try:
            while process.poll() is None and time.monotonic() < deadline and not (stop and stop.is_set()):
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=0.2)
            if process.poll() is None:
                return TIMED_OUT, False
            return process.returncode, process.stdout.read() == NO_NETWORK
        finally:
            if process.poll() is None:
                _kill_family(process.pid)
                process.kill()


def without_network() -> bool:
    """Whether this system lets a command of ours run without a network."""
    with tempfile.TemporaryDirectory() as folder:
        return run([sys.executable, "-c", ""], Path(folder), Limits(seconds=20))[1]


def _environment(home: Path) -> dict[str, str]:
    """What Python and Jupyter need, and nothing of the user's."""
    return {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.defpath]),
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "PYTHONDONTWRITEBYTECODE": "1",
        "JUPYTER_PATH": str(Path(sys.prefix, "share", "jupyter")),
        "HOME": str(home),
        "TMPDIR": str(home),
        "LANG": "C.UTF-8",
        "CUDA_VISIBLE_DEVICES": "",  # a GPU's driver needs more address space than any limit leaves
    }


def _supervise(limits: Limits, command: list[str]) -> int:
    """Run the command under its limits, and end every process that it has left; returns its exit code."""
    if _leave_network():
        print(NO_NETWORK, end="", flush=True)
    _adopt_orphans()
    _set(limits)
    parent = int(os.environ[kernel.PARENT])
    environment = os.environ | {kernel.PARENT: str(os.getpid())}
    deadline = time.monotonic() + limits.seconds
    with open(SAID, "wb") as said:
        process = subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=said, start_new_session=True
        )
    try:
        while process.poll() is None and time.monotonic() < deadline and os.getppid() == parent:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=0.2)
        return TIMED_OUT if process.poll() is None else process.returncode
    finally:
        _kill_family(os.getpid())


def _kill_family(pid: int) -> None:
    """Kill all descendants of a process, those too that are born meanwhile."""
    for _ in range(100):
        family = []
        with contextlib.suppress(psutil.NoSuchProcess):
            family = [p for p in psutil.Process(pid).children(recursive=True) if p.status() != psutil.STATUS_ZOMBIE]
        if not family:
            return
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(family, timeout=0.1)


def _set(limits: Limits) -> None:
    import resource

    of_user = [
        p for p in psutil.process_iter(["uids", "num_threads"]) if p.info["uids"] and p.info["uids"].real == os.getuid()
    ]
    running = sum(p.info["num_threads"] or 1 for p in of_user)
    wanted = {
        resource.RLIMIT_AS: limits.memory_bytes,
        resource.RLIMIT_CPU: limits.cpu_seconds,
        resource.RLIMIT_FSIZE: limits.file_bytes,
        resource.RLIMIT_NPROC: running + limits.processes,
        resource.RLIMIT_CORE: 0,
    }
    for kind, value in wanted.items():
        _, hard = resource.getrlimit(kind)
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        with contextlib.suppress(ValueError, OSError):  # macOS does not know them all
            resource.setrlimit(kind, (value, value))


def _adopt_orphans() -> None:
    """Become the parent of descendants whose own parent ends, so that none of them escapes."""
    with contextlib.suppress(OSError, AttributeError):  # Linux only
        ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER


def _leave_network() -> bool:
    """Move to a network of this process's own, which has no way out; False where the system does not allow it."""
    user, group = os.getuid(), os.getgid()
    try:
        if ctypes.CDLL(None).unshare(0x10000000 | 0x40000000):  # CLONE_NEWUSER | CLONE_NEWNET
            return False
    except (OSError, AttributeError):
        return False
    with contextlib.suppress(OSError):  # without it the user is nobody, which does no harm
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    _switch_on_loopback()
    return True


def _switch_on_loopback() -> None:
    """A notebook and its kernel talk over 127.0.0.1, which is off in a new network."""
    import fcntl

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, 0x8914, struct.pack("16sH22x", b"lo", 0x41))  # SIOCSIFFLAGS: IFF_UP | IFF_RUNNING


if __name__ == "__main__":
    sys.exit(_supervise(Limits(**json.loads(sys.argv[1])), sys.argv[2:]))
