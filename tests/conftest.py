"""What all tests share: no network, no settings from outside, a clean figure list, real data where they are."""

import os
import socket

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import pytest
import torch
from hypothesis import settings

from coursekit.data import datasets

REAL_DATA = os.environ.get("COURSEKIT_DATA")

torch.set_num_threads(1)  # the networks of tests are so small that a second thread costs time

settings.register_profile("coursekit", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("coursekit")


@pytest.fixture(autouse=True)
def _own_settings(monkeypatch, tmp_path):
    for name in ("COURSEKIT_PROFILE", "COURSEKIT_SOURCE", "MPLBACKEND"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COURSEKIT_DATA", str(tmp_path / "cache"))
    monkeypatch.setenv("COURSEKIT_RESULTS", str(tmp_path / "results"))
    yield
    plt.close("all")


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    connect = socket.socket.connect

    def only_here(self, address):
        if self.family != socket.AF_UNIX and address[0] not in ("127.0.0.1", "localhost", "::1"):
            raise OSError(f"a test tried to reach {address}")
        return connect(self, address)

    def no_lookup(host, *arguments, **options):
        if host in ("127.0.0.1", "localhost", "::1", None):
            return lookup(host, *arguments, **options)
        raise socket.gaierror(f"a test looked up {host}")

    lookup = socket.getaddrinfo
    monkeypatch.setattr(socket.socket, "connect", only_here)
    monkeypatch.setattr(socket, "getaddrinfo", no_lookup)


@pytest.fixture
def real_data(monkeypatch):
    """Points coursekit at the real data sets; skips, and says so, where COURSEKIT_DATA does not have them."""
    folder = REAL_DATA and os.path.expanduser(REAL_DATA)
    if not folder or not all(os.path.exists(f"{folder}/{name}.npz") for name in datasets.IMAGE_SHAPES):
        pytest.skip("needs the real data sets: set COURSEKIT_DATA to their folder")
    monkeypatch.setenv("COURSEKIT_DATA", folder)
    return folder


@pytest.fixture(scope="session")
def read_pdf():
    """Opens the bytes of a PDF with pdfium, where that is installed."""
    return pytest.importorskip("pypdfium2", reason="needs pypdfium2 to read a PDF back").PdfDocument


@pytest.fixture(scope="session")
def text_of(read_pdf):
    """The characters of a PDF, page after page."""

    def text(pdf: bytes) -> str:
        pages = [page.get_textpage().get_text_bounded() for page in read_pdf(pdf)]
        return "\n".join(pages).replace("\r", "").replace("\xa0", " ")

    return text
