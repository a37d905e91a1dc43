import errno
import json
import signal
import subprocess
import sys
import threading
import time

import psutil
import pytest

from coursekit.classroom import confine
from coursekit.classroom.confine import Limits

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs the limits of Linux or macOS")
linux = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")


def python(code, folder, **limits):
    """Run Python code under limits; exit code, and what it wrote into said.json."""
    code, _ = confine.run([sys.executable, "-c", code], folder, Limits(**limits))
    said = folder / "said.json"
    return code, json.loads(said.read_text()) if said.exists() else None


def test_the_environment_is_empty_but_for_what_python_needs(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "canary")
    monkeypatch.setenv("UNSHOWN", "canary")
    code, said = python("import json, os; json.dump([dict(os.environ), os.getcwd()], open('said.json', 'w'))", tmp_path)
    environment, folder = said
    assert code == 0
    assert "canary" not in environment.values()
    assert environment["HOME"] == environment["TMPDIR"] == folder == str(tmp_path)
    assert set(environment) <= {
        *confine._environment(tmp_path),
        "COURSEKIT_PARENT",
        "LC_CTYPE",
        "OMP_WAIT_POLICY",
        "PWD",
    }


GREEDY = {
    "memory": "bytearray(3_000_000_000)",
    "file": "open('big', 'wb').write(bytes(20_000_000))",
    "cpu": "while True: pass",
}


@pytest.mark.parametrize(
    ("what", "limits", "expected"),
    [
        ("memory", dict(memory_bytes=2_000_000_000), 1),
        ("file", dict(file_bytes=10_000_000), 1),
        ("cpu", dict(cpu_seconds=1), -signal.SIGKILL),
    ],
)
def test_whoever_takes_more_than_his_limit_is_stopped(what, limits, expected, tmp_path):
    code, _ = python(GREEDY[what], tmp_path, **limits)
    assert code in (expected, 256 + expected, -signal.SIGXCPU)
    assert what != "file" or (tmp_path / "big").stat().st_size <= 10_000_000


def test_time_is_up_and_nothing_is_left(tmp_path):
    stubborn = "import signal, time\nfor s in (2, 15): signal.signal(s, signal.SIG_IGN)\nwhile True: time.sleep(9)"
    start = time.monotonic()
    code, _ = python(stubborn, tmp_path, seconds=1)
    assert code == confine.TIMED_OUT
    assert time.monotonic() - start < 10


ESCAPES = """
import json, os, subprocess
subprocess.Popen(["setsid", "sh", "-c", "sleep 311 & echo $! >pid; exec sleep 311"])
while not os.path.exists("pid") or not open("pid").read(): pass
json.dump([int(open("pid").read()), os.getpid()], open("said.json", "w"))
"""


def gone(pid: int, within: float = 10.0) -> bool:
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.05)
    return False


@linux
def test_a_child_in_a_session_of_its_own_does_not_outlive_the_command(tmp_path):
    code, (child, _) = python(ESCAPES, tmp_path)
    assert code == 0
    assert gone(child)


@linux
def test_nothing_outlives_the_one_who_asked(tmp_path):
    code = ESCAPES + "import time; time.sleep(300)"
    run = f"""
import sys
from pathlib import Path
from coursekit.classroom import confine
confine.run([sys.executable, "-c", {code!r}], Path({str(tmp_path)!r}), confine.Limits())
"""
    with subprocess.Popen([sys.executable, "-c", run]) as asking:
        said = tmp_path / "said.json"
        while not (said.exists() and said.read_text().endswith("]")):
            assert asking.poll() is None
            time.sleep(0.05)
        asking.kill()
    assert all(gone(pid) for pid in json.loads(said.read_text()))


def test_it_stops_when_told_to(tmp_path):
    stop = threading.Event()
    threading.Timer(0.5, stop.set).start()
    start = time.monotonic()
    code, _ = confine.run([sys.executable, "-c", "import time; time.sleep(60)"], tmp_path, Limits(), stop=stop)
    assert code == confine.TIMED_OUT
    assert time.monotonic() - start < 10


@linux
def test_there_is_no_network_where_the_system_allows_that(tmp_path):
    connect = """
import json, socket
try:
    socket.create_connection(("192.0.2.1", 9), 1)
except OSError as error:
    json.dump(error.errno, open("said.json", "w"))
"""
    if not confine.without_network():
        pytest.skip("this system does not let a process leave the network")
    assert python(connect, tmp_path) == (0, errno.ENETUNREACH)
    talk = """
import json, socket
with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname(), 5):
    json.dump("heard", open("said.json", "w"))
"""
    assert python(talk, tmp_path) == (0, "heard"), "a notebook and its kernel talk over the loopback"


def test_what_a_command_says_last_is_kept(tmp_path):
    assert python("import sys; sys.exit('because')", tmp_path)[0] == 1
    assert (tmp_path / confine.SAID).read_text() == "because\n"
