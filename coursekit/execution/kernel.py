"""Inside the kernel of a notebook that is executed: nothing fails in silence, and nothing outlives the executor."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time

PARENT = "COURSEKIT_PARENT"
GRACE_S = 5.0  # for the checkpoint of a training that runs


def load_ipython_extension(shell) -> None:
    """Let a failing `!command` or `%pip` and an exception in a thread be errors of their cell; watch the executor."""
    _send_half_characters(shell.kernel.session)
    system = shell.system

    def checked(command: str) -> None:
        system(command)
        code = shell.user_ns.get("_exit_code", 0)
        if code:
            raise subprocess.CalledProcessError(code, command)

    def show(failed: threading.ExceptHookArgs) -> None:
        if failed.exc_type is not SystemExit:
            shell.showtraceback((failed.exc_type, failed.exc_value, failed.exc_traceback))

    shell.system = checked
    threading.excepthook = show
    watch_parent(GRACE_S)


def _send_half_characters(session) -> None:
    """Let a message with a lone surrogate be sent: jupyter_client would drop it, an error of the cell among them."""
    from jupyter_client.jsonutil import json_default

    pack = session.pack

    def packed(message) -> bytes:
        try:
            return pack(message)
        except (TypeError, ValueError):
            return json.dumps(message, default=json_default).encode()

    session.pack = packed


def watch_parent(grace_s: float = 0.0) -> None:
    """From now on, when the process that COURSEKIT_PARENT names has ended, end this one and its process group."""
    parent = os.environ.pop(PARENT, None)
    if parent and sys.platform != "win32":  # there ipykernel watches
        threading.Thread(target=_watch, args=(int(parent), grace_s), daemon=True).start()


def _watch(parent: int, grace_s: float) -> None:
    while os.getppid() == parent:
        time.sleep(0.3)
    if grace_s and _is_training():
        os.kill(os.getpid(), signal.SIGTERM)
        deadline = time.monotonic() + grace_s
        while _is_training() and time.monotonic() < deadline:
            time.sleep(0.1)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(0, signal.SIGKILL)


def _is_training() -> bool:
    """Whether somebody listens to SIGTERM: `checkpoint.Stop` does."""
    return callable(signal.getsignal(signal.SIGTERM))
