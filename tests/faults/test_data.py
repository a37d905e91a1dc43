"""FAULTS D1 to D6, L2: downloads that break off or are something else, archives with evil in them, a shared folder."""

import functools
import gc
import gzip
import hashlib
import io
import os
import signal
import socket
import ssl
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import urllib.error
import urllib.request
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import torch
import torchvision

from coursekit import files
from coursekit.data import datasets, download, drawn
from coursekit.errors import DataError, UsageError

PAGE = b"<!DOCTYPE html><title>Please log in</title>"


@functools.cache
def letter_file() -> bytes:
    """60 glyphs of each letter, in the form of the public archive."""
    pixels = np.random.default_rng(0).integers(0, 2, (60 * 26, 128))
    rows = [f"{i}\t{chr(97 + i % 26)}\t{i + 1}\t1\t1\t0\t" + "\t".join(map(str, row)) for i, row in enumerate(pixels)]
    return gzip.compress("\n".join(rows).encode())


class Server:
    """An HTTP server on this machine that answers every request in one way."""

    def __init__(self):
        self.answer, self.content, self.requests = "whole", b"", 0
        self.half_sent, self.go_on = threading.Event(), threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                server.requests += 1
                server.respond(self)

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_port}/"
        threading.Thread(target=self.http.serve_forever, args=(0.05,), daemon=True).start()

    def respond(self, handler) -> None:
        if self.answer == "silent":
            self.go_on.wait(60)
            return
        if self.answer.isdigit():
            handler.send_error(int(self.answer))
            return
        content = PAGE if self.answer == "page" else self.content
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        if self.answer in ("cut", "waiting"):
            handler.wfile.write(content[: len(content) // 2])
            handler.wfile.flush()
            self.half_sent.set()
            if self.answer == "waiting":
                self.go_on.wait(60)
        else:
            handler.wfile.write(content)

    def close(self) -> None:
        self.go_on.set()
        self.http.shutdown()
        self.http.server_close()


@pytest.fixture
def server(monkeypatch):
    """Where the letters and MNIST come from in a test, by way of no proxy."""
    server = Server()
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(download, "LETTERS_URL", server.url + "letter.data.gz")
    monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", [server.url + "first/", server.url + "second/"])
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "url", server.url + "cifar-10-python.tar.gz")
    yield server
    server.close()


def inside(folder) -> list:
    return sorted(path.name for path in folder.rglob("*")) if folder.exists() else []


# --- D1, D2, D3 -------------------------------------------------------------------------------------------------------


CUT, PAGE_IN_PLACE = ("cut", "not the published file: cut short"), ("page", "a page in its place")
REFUSALS = (
    ("403", "the server says 403 Forbidden: it refuses this network"),
    ("404", "the server says 404 Not Found: the file is no longer there"),
    ("407", "the server says 407 Proxy Authentication Required: .* HTTPS_PROXY"),
    ("429", "the server says 429 Too Many Requests: it was asked too often; wait some minutes"),
    ("500", "the server says 500 Internal Server Error: .* try again later"),
    ("503", "the server says 503 Service Unavailable: .* try again later"),
)


@pytest.mark.filterwarnings("ignore:Implicitly cleaning up <HTTPError")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(  # torchvision leaves the answers of its mirrors open
    ("name", "answer", "reason"),
    [(name, *answer) for name in ("letters", "mnist") for answer in (CUT, PAGE_IN_PLACE, *REFUSALS)]
    + [("cifar10", *answer) for answer in REFUSALS],
)
def test_d1_what_is_not_the_file_is_refused_and_leaves_nothing(name, answer, reason, server, tmp_path):
    server.answer, server.content = answer, letter_file()
    with pytest.raises(DataError, match=rf"cannot download {name} \(.*{reason}.*\); put {name}\.npz") as caught:
        datasets.load(name, "real", tmp_path)
    assert caught.value.exit_code == 3
    assert "\n" not in str(caught.value)
    assert inside(tmp_path) == []
    assert server.requests >= (2 if name == "mnist" else 1), "MNIST has two mirrors"
    del caught
    gc.collect()  # while the answers that nobody has closed are still forgiven


def test_d1_a_whole_archive_that_is_another_is_no_mnist(monkeypatch, tmp_path, capsys):
    parts = drawn.digits(20, 10), tuple("0123456789"), "MNIST, original pixels"
    monkeypatch.setitem(download.ARRAYS, "mnist", lambda: parts)
    with pytest.raises(DataError, match="not the published file"):
        datasets.load("mnist", "real", tmp_path)
    assert datasets.load("mnist", "auto", tmp_path).is_sample
    assert "NOTICE: cannot download mnist (what came is not the published file" in capsys.readouterr().err
    assert inside(tmp_path) == []


def test_d1_a_copy_of_mnist_does_not_vouch_for_itself(tmp_path):
    datasets._save(tmp_path / "mnist.npz", drawn.digits(20, 10), tuple("0123456789"), "MNIST, original pixels")
    with pytest.raises(DataError, match="differ from the published mnist"):
        datasets.load("mnist", "real", tmp_path)


def test_d1_letters_come_whole_and_are_kept(server, tmp_path):
    server.content = letter_file()
    first = datasets.load("letters", "real", tmp_path)
    again = datasets.load("letters", "real", tmp_path)
    assert server.requests == 1
    assert inside(tmp_path) == ["letters.npz"]
    assert first.sha256 == again.sha256
    assert first.source == again.source
    assert torch.equal(first.train_images, again.train_images)


LOADING = """
import os, signal, sys
from pathlib import Path
from coursekit import files
from coursekit.data import datasets, download
download.LETTERS_URL = sys.argv[1]
if sys.argv[3] == "write":
    files.os.replace = lambda *paths: os.kill(os.getpid(), signal.SIGKILL)
datasets.load("letters", "real", Path(sys.argv[2]))
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
@pytest.mark.parametrize("place", ["download", "write"])
def test_d1_d2_killed_in_the_middle_the_next_call_starts_again(place, server, tmp_path, record_property):
    server.content = letter_file()
    server.answer = "waiting" if place == "download" else "whole"
    command = [sys.executable, "-c", LOADING, server.url, str(tmp_path / "cache"), place]
    child = subprocess.Popen(command)
    try:
        if place == "download":
            assert server.half_sent.wait(60)
            child.kill()
        assert child.wait(60) == -signal.SIGKILL
    finally:
        child.kill()
    assert "letters.npz" not in inside(tmp_path / "cache")
    server.answer = "whole"
    assert not datasets.load("letters", "real", tmp_path / "cache").is_sample
    assert inside(tmp_path / "cache") == ["letters.npz"], "what the killed process left is removed"
    record_property("injected", f"a SIGKILL in mid {place} of a data set")
    record_property("lost", "nothing: the next call starts again")


def test_d3_no_network_is_said_soon_with_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setattr(download, "LETTERS_URL", "http://127.0.0.1:9/letter.data.gz")
    start = time.monotonic()
    with pytest.raises(DataError, match=r"cannot download letters \(no network\); put letters.npz .* source 'sample'"):
        datasets.load("letters", "real", tmp_path)
    assert time.monotonic() - start < 20


VERIFY = "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: {} (_ssl.c:1006)"
CERTIFICATES = {
    "certificate has expired": "expired",
    "self-signed certificate": "self-signed certificate",
    "unable to get local issuer certificate": "unable to get local issuer certificate",
    "Hostname mismatch, certificate is not valid for 'x'.": "Hostname mismatch, certificate is not valid for 'x",
}


@pytest.mark.parametrize("said", CERTIFICATES)
@pytest.mark.parametrize("name", ["letters", "mnist", "cifar10"])
def test_d3_a_certificate_that_cannot_be_verified_is_no_missing_network(name, said, monkeypatch, tmp_path):
    def refuse(request, *_, **__):
        if getattr(request, "full_url", request).startswith("https"):
            raise urllib.error.URLError(ssl.SSLCertVerificationError(1, VERIFY.format(said)))
        raise urllib.error.URLError(ConnectionRefusedError(111, "Connection refused"))

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    monkeypatch.setattr(download, "LETTERS_URL", "https://letters.example.org/letter.data.gz")
    monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", [f"https://mnist.example.org/{n}/" for n in "ab"])
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "url", "https://cifar10.example.org/c.tar.gz")
    expected = f"the certificate of {name}.example.org cannot be verified ({CERTIFICATES[said]}"
    with pytest.raises(DataError) as caught:
        datasets.load(name, "real", tmp_path)
    assert expected in str(caught.value)
    assert "is this machine's clock right" in str(caught.value)
    assert "no network" not in str(caught.value)


def test_d3_a_server_that_never_answers_is_given_up(server, monkeypatch, tmp_path):
    server.answer = "silent"
    monkeypatch.setattr(download, "SECONDS_WITHOUT_AN_ANSWER", 0.3)
    with pytest.raises(DataError, match=r"cannot download letters \(no answer in 0.3 s\)"):
        datasets.load("letters", "real", tmp_path)


def test_d3_with_a_copy_there_the_network_is_not_touched(server, monkeypatch, tmp_path):
    server.content = letter_file()
    first = datasets.load("letters", "real", tmp_path)
    monkeypatch.setattr(socket, "socket", None)
    assert datasets.load("letters", "real", tmp_path).sha256 == first.sha256


# --- D4, D5 -----------------------------------------------------------------------------------------------------------


def test_d4_an_archive_that_would_leave_its_folder_is_refused_unopened(server, monkeypatch, tmp_path):
    outside = tmp_path / "outside"
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name in ("../outside", str(outside), "../" * 9 + str(outside)[1:]):
            member = tarfile.TarInfo(name)
            member.size = 4
            archive.addfile(member, io.BytesIO(b"evil"))
    server.content = buffer.getvalue()
    monkeypatch.setattr(tarfile, "open", None)  # not even looked into: its digest is not the published one
    assert hashlib.md5(server.content, usedforsecurity=False).hexdigest() != torchvision.datasets.CIFAR10.tgz_md5
    with pytest.raises(DataError, match=r"cannot download cifar10 \(what came is not the published file"):
        datasets.load("cifar10", "real", tmp_path / "cache")
    assert inside(tmp_path) == ["cache"]
    assert inside(tmp_path / "cache") == []


def test_d4_members_of_an_npz_are_read_by_name_and_written_nowhere(tmp_path):
    path = tmp_path / "in" / "letters.npz"
    datasets._save(path, drawn.letters(2, 1), download.LETTERS, "a test")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("../../outside.npy", b"evil")
    datasets.load("letters", "real", path.parent)
    assert inside(tmp_path) == ["in", "letters.npz"]


def test_d4_an_npz_that_would_fill_the_memory_is_refused_unread(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "letters.npz", train_images=np.zeros(3_000_000, np.uint8))
    monkeypatch.setattr(datasets, "LARGEST_BYTES", 1_000_000)
    with pytest.raises(DataError, match=r"letters\.npz: unpacks to 0\.0 GB, more than any data set here; delete it"):
        datasets.load("letters", "auto", tmp_path)


@pytest.mark.parametrize("source", datasets.SOURCES)
def test_d5_an_unknown_data_set_is_one_line_everywhere(source):
    for function in (datasets.load, datasets.expected_sha256):
        with pytest.raises(UsageError, match="no data 'svhn' from") as caught:
            function("svhn", source)
        assert caught.value.exit_code == 2


# --- D6 ---------------------------------------------------------------------------------------------------------------

READING = """
import os, sys
from pathlib import Path
from coursekit import data
data.load("letters", "real", Path(sys.argv[1]))  # all of Python that it needs, before another user asks for it
if os.geteuid() == 0:
    os.setuid(65534)
assert not os.access(sys.argv[1], os.W_OK)
print(data.load("letters", "real", Path(sys.argv[1])).sha256)
"""


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs users")
def test_d6_a_folder_that_is_not_ours_is_used_as_it_is(tmp_path):
    with tempfile.TemporaryDirectory() as folder:  # pytest's own folders are closed to other users
        path = datasets.Path(folder) / "letters.npz"
        datasets._save(path, drawn.letters(2, 1), download.LETTERS, "a test")
        path.parent.chmod(0o555)
        done = subprocess.run([sys.executable, "-c", READING, folder], capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip() == datasets.load("letters", "real", path.parent).sha256
        assert inside(path.parent) == ["letters.npz"]
        assert path.stat().st_mode & 0o777 == 0o644
        path.parent.chmod(0o755)


def test_d6_a_folder_that_cannot_be_written_costs_a_warning_and_not_the_download(server, tmp_path, monkeypatch, capsys):
    server.content = letter_file()

    def refuse(path, content):
        raise files.StorageError(f"cannot write {path.name}: Read-only file system")

    monkeypatch.setattr(files, "write_bytes", refuse)
    assert not datasets.load("letters", "real", tmp_path).is_sample
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(
        "warning: letters is not kept: cannot write letters.npz: Read-only file system; set COURSEKIT"
    )


# --- L2 ---------------------------------------------------------------------------------------------------------------

WITHOUT_TORCHVISION = """
import sys
sys.modules["torchvision"] = None
from pathlib import Path
from coursekit.data import datasets, download, drawn
from coursekit.notebook import show
from coursekit.runs import sweeps
from coursekit.scorecard import compare
datasets._save(Path(sys.argv[1]) / "letters.npz", drawn.letters(2, 1), download.LETTERS, "a test")
print(datasets.load("letters", "real", Path(sys.argv[1])))
"""


def test_l2_loading_data_that_are_there_does_not_import_torchvision(tmp_path):
    command = [sys.executable, "-c", WITHOUT_TORCHVISION, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("letters: 20 train + 10 test")


def test_l2_a_torchvision_that_does_not_load_is_one_line_at_a_download(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(DataError, match=r"cannot download mnist \(torchvision does not load: .*; see coursekit doctor"):
        datasets.load("mnist", "real", tmp_path)
