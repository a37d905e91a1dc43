import socket
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from coursekit import files
from coursekit.data import datasets, download, drawn
from coursekit.errors import DataError, UsageError


@pytest.fixture
def offline(monkeypatch):
    def no_network():
        raise download.DownloadError("no network")

    monkeypatch.setattr(download, "ARRAYS", dict.fromkeys(datasets.IMAGE_SHAPES, no_network))


def write(path, **changes):
    """A small, well-formed mnist.npz, with some entries replaced or, by None, left out."""
    content = dict(
        train_images=np.zeros((6, 28, 28), np.uint8),
        train_labels=np.arange(6, dtype=np.uint8),
        test_images=np.ones((4, 28, 28), np.uint8),
        test_labels=np.arange(4, dtype=np.uint8),
        classes=np.array(list("0123456789")),
        source=np.array("a test"),
    )
    content = {key: value for key, value in (content | changes).items() if value is not None}
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **content)
    return path


@pytest.mark.parametrize("name", datasets.IMAGE_SHAPES)
def test_sample_data_have_the_real_shapes_and_say_what_they_are(name):
    dataset = datasets.load(name, "sample")
    assert dataset.train_images.dtype == torch.uint8
    assert tuple(dataset.train_images.shape[1:]) == datasets.IMAGE_SHAPES[name]
    assert len(dataset.classes) == 10
    assert dataset.is_sample
    assert "not the real images" in str(dataset)
    assert dataset.sha256 == datasets.load(name, "sample").sha256


@pytest.mark.parametrize("name", datasets.IMAGE_SHAPES)
def test_real_data_are_verified(name, real_data):
    dataset = datasets.load(name, "real")
    assert not dataset.is_sample
    assert "NOT VERIFIED" not in dataset.source
    counts = {"mnist": (60_000, 10_000), "cifar10": (50_000, 10_000), "letters": (500, 100)}[name]
    assert (len(dataset.train_images), len(dataset.test_images)) == counts


@pytest.mark.parametrize(("name", "source"), [("svhn", "auto"), ("mnist", "somewhere")])
def test_unknown_names_are_refused(name, source):
    with pytest.raises(UsageError, match="choose mnist, cifar10, letters from auto, real, sample"):
        datasets.load(name, source)


def test_without_network_auto_falls_back_with_a_notice(offline, capsys):
    assert datasets.load("mnist").is_sample
    assert "NOTICE: cannot download mnist (no network). Using SAMPLE DATA" in capsys.readouterr().err


def test_without_network_real_says_which_file_to_put_where(offline, tmp_path):
    with pytest.raises(DataError, match=rf"put mnist.npz .* into {tmp_path}") as caught:
        datasets.load("mnist", "real", tmp_path)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 3


def test_torchvision_without_network_counts_as_no_network(capsys):
    with pytest.raises(download.DownloadError, match="no network"):
        download.mnist()
    with pytest.raises(download.DownloadError, match="no network"):
        download.cifar10()
    with pytest.raises(download.DownloadError, match="no network"):
        download.letters()


def test_a_download_leaves_alone_how_long_other_connections_wait():
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(7)
    try:
        with pytest.raises(download.DownloadError):
            download.letters()
        assert socket.getdefaulttimeout() == 7
    finally:
        socket.setdefaulttimeout(before)


def test_sample_never_reads_the_cache(tmp_path):
    (tmp_path / "mnist.npz").write_bytes(b"damaged")
    assert datasets.load("mnist", "sample", tmp_path).is_sample


def test_a_download_is_cached_and_verified_by_its_own_checksum(monkeypatch, tmp_path):
    arrays = {key: value[:20] for key, value in drawn.letters().items()}
    monkeypatch.setitem(download.ARRAYS, "letters", lambda: (arrays, download.LETTERS, "another choice of glyphs"))
    first = datasets.load("letters", "real", tmp_path)
    monkeypatch.setitem(download.ARRAYS, "letters", None)
    second = datasets.load("letters", "real", tmp_path)
    assert first.sha256 == second.sha256
    assert second.source == "another choice of glyphs"
    assert second.classes == download.LETTERS
    torch.testing.assert_close(second.train_images, torch.from_numpy(arrays["train_images"]))
    assert list(tmp_path.iterdir()) == [tmp_path / "letters.npz"]


def loads_together(folder, count: int = 4) -> list:
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(lambda _: datasets.load("letters", folder=folder), range(count)))


def test_who_starts_together_downloads_once(monkeypatch, tmp_path):
    started = []

    def slow():
        started.append(1)
        time.sleep(0.5)
        return drawn.letters(), drawn.CLASSES["letters"], "slow"

    monkeypatch.setitem(datasets.download.ARRAYS, "letters", slow)
    loaded = loads_together(tmp_path / "new" / "cache")
    assert len(started) == 1
    assert {d.sha256 for d in loaded} == {loaded[0].sha256}
    assert {d.source for d in loaded} == {"slow"}


def test_who_has_waited_for_a_download_in_vain_tries_himself(monkeypatch, tmp_path):
    started = []

    def fails_once():
        started.append(1)
        time.sleep(0.5)
        if len(started) == 1:
            raise datasets.download.DownloadError("no network")
        return drawn.letters(), drawn.CLASSES["letters"], "second"

    monkeypatch.setitem(datasets.download.ARRAYS, "letters", fails_once)
    loaded = loads_together(tmp_path, 2)
    assert sorted(d.is_sample for d in loaded) == [False, True]


def test_an_odd_copy_is_used_but_never_as_the_real_thing(tmp_path, capsys):
    write(tmp_path / "mnist.npz")
    dataset = datasets.load("mnist", "auto", tmp_path)
    assert "NOT VERIFIED: train_images, train_labels, test_images, test_labels differ" in dataset.source
    assert "NOTICE" in capsys.readouterr().err
    with pytest.raises(DataError, match="differ from the published mnist"):
        datasets.load("mnist", "real", tmp_path)


def test_one_flipped_pixel_of_real_mnist_is_noticed(real_data, tmp_path):
    with np.load(f"{real_data}/mnist.npz") as file:
        arrays = dict(file)
    arrays["test_images"] = arrays["test_images"].copy()
    arrays["test_images"][123, 4, 5] ^= 1
    np.savez(tmp_path / "mnist.npz", **arrays)
    with pytest.raises(DataError, match="test_images differ from the published mnist"):
        datasets.load("mnist", "real", tmp_path)


@pytest.mark.parametrize("source", ["auto", "real"])
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            dict(train_images=np.zeros((6, 784), np.uint8)),
            r"'train_images' has shape \(6, 784\).*expected \(N, 28, 28\)",
        ),
        (dict(train_images=np.zeros((6, 28, 28))), "of float64"),
        (dict(test_images=np.zeros((0, 28, 28), np.uint8)), "'test_images'"),
        (dict(test_labels=np.arange(3, dtype=np.uint8)), r"'test_labels' has shape \(3,\)"),
        (dict(train_labels=np.full(6, 10, np.uint8)), r"must be 0..9; found 10 at index 0"),
        (dict(train_labels=None), "has no array 'train_labels'"),
        (dict(train_labels=np.array([object()] * 6)), "never loaded"),
    ],
)
def test_wrong_arrays_are_one_line(tmp_path, changes, message, source):
    write(tmp_path / "mnist.npz", **changes)
    with pytest.raises(DataError, match=message) as caught:
        datasets.load("mnist", source, tmp_path)
    assert "\n" not in str(caught.value)


def test_a_truncated_file_and_a_file_that_is_no_archive(tmp_path):
    path = write(tmp_path / "mnist.npz")
    content = path.read_bytes()
    for damaged in (content[: len(content) // 2], b"<html>not found</html>", b"", np.lib.format.MAGIC_PREFIX):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=r"mnist\.npz") as caught:
            datasets.load("mnist", "auto", tmp_path)
        assert "\n" not in str(caught.value)


def test_a_flipped_byte_inside_the_archive_is_noticed(tmp_path):
    path = write(tmp_path / "mnist.npz")
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        start = archive.getinfo("train_images.npy").header_offset
    content[start + 500] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match="is damaged"):
        datasets.load("mnist", "auto", tmp_path)


def test_letter_file_of_the_public_archive():
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 2, (26 * 70, 128))
    letters = [chr(ord("a") + i % 26) for i in range(len(pixels))]
    lines = [
        f"{i}\t{c}\t{i + 1}\t1\t1\t0\t" + "\t".join(map(str, row))
        for i, (c, row) in enumerate(zip(letters, pixels, strict=True))
    ]
    arrays = download.parse_letters(lines)
    assert arrays["train_images"].shape == (500, 16, 8)
    assert arrays["test_images"].shape == (100, 16, 8)
    assert np.bincount(arrays["test_labels"]).tolist() == [10] * 10
    np.testing.assert_array_equal(arrays["train_images"][50].ravel(), pixels[letters.index("e")])
    with pytest.raises(ValueError, match="fewer than 60 glyphs of a"):
        download.parse_letters(lines[:100])


def test_storage_leaves_the_old_file_when_the_new_one_cannot_be_written(tmp_path, monkeypatch):
    path = tmp_path / "result"
    files.write_bytes(path, b"old")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(files.StorageError, match=r"cannot write result .* No space left on device"):
        files.write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_storage_below_a_file_is_one_line(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(files.StorageError, match="cannot write result"):
        files.write_bytes(tmp_path / "file" / "result", b"new")


def test_storage_retries_while_windows_holds_the_file(tmp_path, monkeypatch):
    replace, calls = files.os.replace, []

    def busy_twice(*paths):
        calls.append(paths)
        if len(calls) < 3:
            raise PermissionError(13, "in use")
        replace(*paths)

    monkeypatch.setattr(files.os, "replace", busy_twice)
    monkeypatch.setattr(files.time, "sleep", lambda seconds: None)
    files.write_bytes(tmp_path / "result", b"new")
    assert (tmp_path / "result").read_bytes() == b"new"
    assert (tmp_path / "result").stat().st_mode & 0o777 == 0o644
