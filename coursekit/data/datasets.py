"""A data set by name: verified uint8 tensors that know where they come from."""

import functools
import hashlib
import io
import os
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock, Timeout

from coursekit import files, settings
from coursekit.data import download, drawn
from coursekit.errors import DataError, StorageError, UsageError

IMAGE_SHAPES = {"mnist": (28, 28), "cifar10": (32, 32, 3), "letters": (16, 8)}
TRAIN_IMAGES = {"mnist": 60_000, "cifar10": 50_000, "letters": 500}
CLASS_COUNT = 10
SMALLEST_CLASS = {"mnist": 5421, "cifar10": 5000, "letters": 50}  # training images of the published sets
SOURCES = ("auto", "real", "sample")
WAIT_S = 600  # for another process that downloads the same, at most
LARGEST_BYTES = 1_000_000_000  # five times what the largest data set takes
ARRAYS = ("train_images", "train_labels", "test_images", "test_labels")

# SHA-256 of the arrays' bytes in C order. MNIST and CIFAR-10 are the published files; the letters are the course's
# choice of 60 glyphs for each of ten letters.
CHECKSUMS = {
    "mnist": {
        "train_images": "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757",
        "train_labels": "1feba77c54802fa5339a11837ea4b2866434b83314ec45192930f1df69120c13",
        "test_images": "6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161",
        "test_labels": "ddeff807876a9661a1110d45c266c86239a3a1b7d37da0c3716a7a683c852ff5",
    },
    "cifar10": {
        "train_images": "47af8b02cfcfb6cdf3dbbd1969ad7f1b70f4413f6f80f437b020ee4e5bc8304a",
        "train_labels": "2b7cd2f24487317614016b72ffd53071c3062f592f0eb300c18a770d41ae1253",
        "test_images": "f9b1e2130bab680db56eb06d886f7f1ad0f1183907ceff4659d1735c890f5b04",
        "test_labels": "cec8a24a1e92aa2ecaa0bbd3dbfa86bf6cd8759fbd209a832824c8cf0afca9d5",
    },
    "letters": {
        "train_images": "830132d147feb51f4c57dba1b60b17670317bd5d356807e764a6e88c62c7aa26",
        "train_labels": "6a2d68c78a5fec8847d1b57ed63e5d3b08e13650e6774ad5dd41b1787761ef28",
        "test_images": "f4799a0fe1bec9e352f06b941ce6c124326c0bd15805d99092762e5c2df49bd4",
        "test_labels": "e91f0de93a3d2ae072ef26c3fb82dcea1f5ee20f3fbbe96f3176ca70cf96b349",
    },
}


# Of the letters each download takes its own choice, so a copy of them may vouch for itself.
PUBLISHED_WHOLE = ("mnist", "cifar10")


@dataclass(frozen=True)
class Dataset:
    """Images uint8 (N, H, W) or (N, H, W, 3), labels uint8 (N,), as stored; `source` is recorded with every result."""

    name: str
    train_images: torch.Tensor
    train_labels: torch.Tensor
    test_images: torch.Tensor
    test_labels: torch.Tensor
    classes: tuple[str, ...]
    source: str
    sha256: str

    @property
    def is_sample(self) -> bool:
        """Whether the images were drawn by code and show nothing about the real data set."""
        return self.source.startswith("sample data")

    def __str__(self) -> str:
        counts = f"{len(self.train_images):,} train + {len(self.test_images):,} test"
        shape = "×".join(str(size) for size in self.train_images.shape[1:])
        return f"{self.name}: {counts} images of {shape}, {len(self.classes)} classes · {self.source}"


def load(name: str, source: str | None = None, folder: Path | None = None) -> Dataset:
    """The data set `name` ("mnist", "cifar10" or "letters") from the cache, a download, or drawn by code.

    source "auto": cache, else download, else sample data with a notice on stderr. "real" never falls back, "sample"
    never touches the network; by default it is what `settings.source` says. `folder` is the cache: by default
    COURSEKIT_DATA, else ~/.cache/coursekit. A cached copy whose checksum is not the published one is used under "auto"
    and says so in its source; under "real" it raises DataError, as damaged files and failed downloads do. A cache that
    is there is only read; one that cannot be written costs a warning.
    """
    source = source or settings.source()
    _check_names(name, source)
    if source == "sample":
        return _dataset(name, _drawn(drawn.ARRAYS[name]), drawn.CLASSES[name], drawn.SOURCE)
    path = (folder or cache_folder()) / f"{name}.npz"
    with _one_at_a_time(path):
        if path.exists():
            return _from_file(name, path, strict=source == "real")
        return _from_network(name, source, path)


def _from_network(name: str, source: str, path: Path) -> Dataset:
    try:
        arrays, classes, text = download.ARRAYS[name]()
        digests = _digests(arrays)
        if name in PUBLISHED_WHOLE and digests != CHECKSUMS[name]:
            raise download.DownloadError(download.NOT_THE_FILE)
    except download.DownloadError as error:
        advice = f"put {path.name} from the coursekit cache of a machine that has it into {path.parent}"
        if source == "real":
            raise DataError(f"cannot download {name} ({error}); {advice}, or use source 'sample'") from None
        print(f"NOTICE: cannot download {name} ({error}). Using SAMPLE DATA drawn by code.", file=sys.stderr)
        return load(name, "sample")
    try:
        _save(path, arrays, classes, text)
    except StorageError as error:
        advice = "set COURSEKIT_DATA to a folder that can be written, or it is downloaded again next time"
        print(f"warning: {name} is not kept: {error}; {advice}", file=sys.stderr)
    return _dataset(name, arrays, classes, text, digests)


def expected_sha256(name: str, source: str | None = None) -> str:
    """The checksum that `load(name, source).sha256` has when all is as published; reads no data unless it is drawn."""
    source = source or settings.source()
    _check_names(name, source)
    return _drawn_sha256(drawn.ARRAYS[name]) if source == "sample" else _combined(CHECKSUMS[name])


def cache_folder() -> Path:
    """COURSEKIT_DATA, or ~/.cache/coursekit."""
    return Path(os.environ.get("COURSEKIT_DATA") or Path.home() / ".cache" / "coursekit").expanduser()


@contextmanager
def _one_at_a_time(path: Path) -> Iterator[None]:
    """For a file that is not there yet: notebooks that start together do not all download it.

    The first comes in at once, the others when it has left: to find the file, or to try for themselves.
    """
    if path.exists():
        yield
        return
    file = path.with_name(f".{path.name}.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(file)
        first = lock.acquire(timeout=0)
    except Timeout:
        with suppress(Timeout), lock.acquire(timeout=WAIT_S):
            pass
        first = nullcontext()
    except OSError:  # a folder that cannot be written, which `_save` will say
        first = nullcontext()
    try:
        with first:
            yield
    finally:  # should somebody still wait for this very file, two will download: no harm
        with suppress(OSError):
            file.unlink(missing_ok=True)


def _check_names(name: str, source: str) -> None:
    if name not in IMAGE_SHAPES or source not in SOURCES:
        choice = f"{', '.join(IMAGE_SHAPES)} from {', '.join(SOURCES)}"
        raise UsageError(f"no data {name!r} from {source!r}; choose {choice}")


def _from_file(name: str, path: Path, strict: bool) -> Dataset:
    arrays, classes, source, own_checksum = _read(path)
    _check_shapes(name, path, arrays, classes)
    digests = _digests(arrays)
    own_choice = name not in PUBLISHED_WHOLE and _combined(digests) == own_checksum
    if digests != CHECKSUMS[name] and not own_choice:
        odd = ", ".join(key for key in ARRAYS if digests[key] != CHECKSUMS[name][key])
        if strict:
            raise DataError(
                f"{path}: {odd} differ from the published {name} (sha256); delete the file to download it again"
            )
        source = f"{source} · NOT VERIFIED: {odd} differ from the published files"
        print(f"NOTICE: {path.name}: {odd} differ from the published {name}.", file=sys.stderr)
    return _dataset(name, arrays, classes, source, digests)


def _read(path: Path) -> tuple[dict, tuple, str, str]:
    advice = "delete it and load again, or put a good copy there"
    try:
        with open(path, "rb") as raw, np.load(raw, allow_pickle=False) as file:
            size = sum(member.file_size for member in file.zip.infolist())
            if size > LARGEST_BYTES:
                raise DataError(f"{path}: unpacks to {size / 1e9:.1f} GB, more than any data set here; {advice}")
            missing = [key for key in ARRAYS if key not in file]
            if missing:
                raise DataError(f"{path}: has no array {missing[0]!r}; {advice}")
            arrays = {key: file[key] for key in ARRAYS}
            classes = tuple(str(c) for c in file["classes"]) if "classes" in file else tuple("0123456789")
            source = str(file["source"]) if "source" in file else f"a file of unknown origin ({path.name})"
            return arrays, classes, source, str(file["checksum"]) if "checksum" in file else ""
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
        reason = f"is damaged ({error})"
    except (ValueError, AttributeError, TypeError):
        reason = "is not a plain .npz archive (it may hold pickled objects, which are never loaded)"
    raise DataError(f"{path}: {reason}; {advice}")


def _check_shapes(name: str, path: Path, arrays: dict, classes: tuple) -> None:
    for split in ("train", "test"):
        images, labels = arrays[f"{split}_images"], arrays[f"{split}_labels"]
        expected = IMAGE_SHAPES[name]
        if images.dtype != np.uint8 or images.shape[1:] != expected or len(images) == 0:
            got = f"shape {images.shape} of {images.dtype}"
            raise DataError(
                f"{path}: '{split}_images' has {got}, expected (N, {', '.join(map(str, expected))}) of uint8"
            )
        if labels.dtype != np.uint8 or labels.shape != images.shape[:1]:
            got = f"shape {labels.shape} of {labels.dtype}"
            raise DataError(f"{path}: '{split}_labels' has {got}, expected ({len(images)},) of uint8")
        if labels.max() >= len(classes):
            index = int(np.flatnonzero(labels >= len(classes))[0])
            found = f"found {labels[index]} at index {index}"
            raise DataError(f"{path}: '{split}_labels' must be 0..{len(classes) - 1}; {found}")


def _save(path: Path, arrays: dict, classes: tuple, source: str) -> None:
    digests = _digests(arrays)
    buffer = io.BytesIO()
    np.savez(
        buffer, classes=np.array(classes), source=np.array(source), checksum=np.array(_combined(digests)), **arrays
    )
    files.remove_temporaries(path.parent)
    files.write_bytes(path, buffer.getbuffer())


@functools.cache
def _drawn(draw: Callable[[], dict]) -> dict:
    return draw()


@functools.cache
def _drawn_sha256(draw: Callable[[], dict]) -> str:
    return _combined(_digests(_drawn(draw)))


def _digests(arrays: dict) -> dict[str, str]:
    return {key: files.sha256(np.ascontiguousarray(array)) for key, array in arrays.items()}


def _combined(digests: dict[str, str]) -> str:
    return hashlib.sha256("".join(digests[key] for key in ARRAYS).encode()).hexdigest()


def _dataset(name: str, arrays: dict, classes: tuple, source: str, digests: dict | None = None) -> Dataset:
    digests = digests or _digests(arrays)
    tensors = {key: torch.from_numpy(np.ascontiguousarray(arrays[key])) for key in ARRAYS}
    return Dataset(name, **tensors, classes=classes, source=source, sha256=_combined(digests))
