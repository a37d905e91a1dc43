"""The public files of the three data sets, fetched by torchvision or urllib into a folder that is thrown away."""

import gzip
import http.client
import re
import socket
import tempfile
import urllib.error
import urllib.request
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from urllib.parse import urlsplit

import numpy as np

LETTERS_URL = "http://ai.stanford.edu/~btaskar/ocr/letter.data.gz"
LETTERS = tuple("aegilnortu")
TRAIN_PER_LETTER, TEST_PER_LETTER = 50, 10
SECONDS_WITHOUT_AN_ANSWER = 20
NOT_THE_FILE = "what came is not the published file: cut short, or a page in its place"

Downloaded = tuple[dict[str, np.ndarray], tuple[str, ...], str]


class DownloadError(Exception):
    """No bytes, or bytes that are not the data set; the text is the reason."""


# What to do about what a server says, by its status code.
ADVICE = {
    401: "it wants a password: a proxy in between, perhaps; try another network",
    403: "it refuses this network; try another one, or later",
    404: "the file is no longer there; look for a newer version of the workbook",
    407: "the proxy wants a password: put it into HTTPS_PROXY",
    410: "the file is no longer there; look for a newer version of the workbook",
    429: "it was asked too often; wait some minutes",
}
LATER = "the trouble is there; try again later"  # of 500 to 599
STATUS = re.compile(r"HTTP Error (\d{3}): ?([^\n]*)")
CERTIFICATE = re.compile(r"certificate verify failed: (?:certificate has )?([^(\n]+)")
NO_NETWORK = "no network"


@contextmanager
def _folder(*urls: str) -> Iterator[str]:
    """A temporary folder; what the network does wrong inside becomes one DownloadError. `urls`: who is asked."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(SECONDS_WITHOUT_AN_ANSWER)
    try:
        with tempfile.TemporaryDirectory() as folder:
            yield folder
    except (OSError, EOFError, RuntimeError, ValueError, zlib.error, http.client.HTTPException) as error:
        raise DownloadError(_reason(error, urls)) from error
    finally:
        socket.setdefaulttimeout(before)


def _reason(error: Exception, urls: Sequence[str]) -> str:
    """What went wrong and what to do, in a few words.

    torchvision puts the errors of all its mirrors into one text, and tries http where https fails: then what https said
    is the reason.
    """
    chain = [error]
    while (before := chain[-1].__context__) is not None:
        chain.append(before)
    text = "\n".join(map(str, chain))
    if certificate := CERTIFICATE.search(text):
        hosts = ", ".join(dict.fromkeys(urlsplit(url).hostname or url for url in urls))
        said = certificate[1].strip(" .,'")
        return f"the certificate of {hosts} cannot be verified ({said}): is this machine's clock right?"
    if isinstance(error, urllib.error.HTTPError):
        error.close()
    if answers := dict(STATUS.findall(text)):
        said = " and ".join(f"{code} {name}".strip() for code, name in answers.items())
        advice = {ADVICE.get(int(code), LATER if code >= "500" else "") for code in answers} - {""}
        return f"the server says {said}" + "".join(f": {each}" for each in sorted(advice)[:1])
    short = isinstance(error, urllib.error.ContentTooShortError | EOFError | gzip.BadGzipFile | zlib.error | ValueError)
    if short or "corrupted" in text or isinstance(error, http.client.HTTPException):
        return NOT_THE_FILE
    if isinstance(error, TimeoutError) or "timed out" in text:
        return f"no answer in {SECONDS_WITHOUT_AN_ANSWER} s"
    if "reset by peer" in text or "aborted" in text:
        return "the server ended the connection; try again later"
    if isinstance(error, urllib.error.URLError | ConnectionError) or "Error downloading" in text:
        return NO_NETWORK
    return f"{type(error).__name__}: {error}".splitlines()[0]


def _torchvision():
    """Its module of data sets: slow to import, needed once in the life of a cache, of no use beside another torch."""
    try:
        from torchvision import datasets
    except (ImportError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise DownloadError(f"torchvision does not load: {reason}; see coursekit doctor") from error
    return datasets


def mnist() -> Downloaded:
    """MNIST through torchvision: 60,000 + 10,000 grey 28×28 images."""
    datasets = _torchvision()
    with _folder(*datasets.MNIST.mirrors) as folder:
        train, test = (datasets.MNIST(folder, train=is_train, download=True) for is_train in (True, False))
        arrays = {
            "train_images": train.data.numpy(),
            "train_labels": train.targets.numpy().astype(np.uint8),
            "test_images": test.data.numpy(),
            "test_labels": test.targets.numpy().astype(np.uint8),
        }
        return arrays, tuple(str(digit) for digit in range(10)), "MNIST, original pixels (60,000 + 10,000)"


def cifar10() -> Downloaded:
    """CIFAR-10 through torchvision: 50,000 + 10,000 colour 32×32 images."""
    datasets = _torchvision()
    with _folder(datasets.CIFAR10.url) as folder:
        train, test = (datasets.CIFAR10(folder, train=is_train, download=True) for is_train in (True, False))
        arrays = {
            "train_images": train.data,
            "train_labels": np.array(train.targets, np.uint8),
            "test_images": test.data,
            "test_labels": np.array(test.targets, np.uint8),
        }
        return arrays, tuple(train.classes), "CIFAR-10, original pixels and order (50,000 + 10,000)"


def letters() -> Downloaded:
    """Ten letters of the MIT OCR set: for each the first 50 glyphs to train and the next 10 to test.

    The course's own choice of glyphs was never published, so this is another sample of the same letters.
    """
    with _folder(LETTERS_URL) as folder:
        path, _ = urllib.request.urlretrieve(LETTERS_URL, f"{folder}/letter.data.gz")
        with gzip.open(path, "rt") as lines:
            arrays = parse_letters(lines)
    counts = f"{TRAIN_PER_LETTER} train + {TEST_PER_LETTER} test each, the first of each letter"
    return arrays, LETTERS, f"MIT OCR letters, 10 letters, 16x8 binary, {counts}"


def parse_letters(lines) -> dict[str, np.ndarray]:
    """Arrays from lines of `letter.data`: id, letter, next id, word, position, fold, then 16×8 pixels."""
    per_letter = TRAIN_PER_LETTER + TEST_PER_LETTER
    glyphs: dict[str, list] = {letter: [] for letter in LETTERS}
    for line in lines:
        fields = line.split()
        kept = glyphs.get(fields[1]) if len(fields) >= 134 else None
        if kept is not None and len(kept) < per_letter:
            kept.append(np.array(fields[6:134], np.uint8).reshape(16, 8))
    short = [letter for letter, kept in glyphs.items() if len(kept) < per_letter]
    if short:
        raise ValueError(f"letter.data has fewer than {per_letter} glyphs of {', '.join(short)}")
    images = np.array([glyphs[letter] for letter in LETTERS])
    labels = np.repeat(np.arange(len(LETTERS), dtype=np.uint8), per_letter).reshape(len(LETTERS), per_letter)
    cut = TRAIN_PER_LETTER
    return {
        "train_images": images[:, :cut].reshape(-1, 16, 8),
        "train_labels": labels[:, :cut].reshape(-1),
        "test_images": images[:, cut:].reshape(-1, 16, 8),
        "test_labels": labels[:, cut:].reshape(-1),
    }


ARRAYS = {"mnist": mnist, "cifar10": cifar10, "letters": letters}
