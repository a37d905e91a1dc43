import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from coursekit.data.augment import crop_flip
from coursekit.data.batches import Batches

SHAPES = st.tuples(st.integers(1, 6), st.integers(1, 3), st.integers(1, 7), st.integers(1, 7))


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def numbered(batch: int, channels: int, height: int, width: int) -> torch.Tensor:
    """No pixel twice and none 0, so that a place tells where it came from."""
    return torch.arange(1, 1 + batch * channels * height * width).float().view(batch, channels, height, width)


def one_by_one(images: torch.Tensor, seed: int, padding: int) -> np.ndarray:
    """The same with loops: pad, cut out, mirror, one image after the other, with the same draws."""
    rng = generator(seed)
    batch, channels, height, width = images.shape
    top, left = torch.randint(0, 2 * padding + 1, (2, batch, 1), generator=rng)
    flipped = torch.rand((batch, 1), generator=rng) < 0.5
    results = []
    for image, y, x, mirror in zip(images.numpy(), top[:, 0], left[:, 0], flipped[:, 0], strict=True):
        padded = np.zeros((channels, height + 2 * padding, width + 2 * padding), np.float32)
        padded[:, padding : padding + height, padding : padding + width] = image
        crop = padded[:, y : y + height, x : x + width]
        results.append(crop[:, :, ::-1] if mirror else crop)
    return np.stack(results)


@given(SHAPES, st.integers(0, 1000), st.integers(0, 4))
def test_equals_cropping_and_flipping_one_image_after_the_other(shape, seed, padding):
    images = numbered(*shape)
    result = crop_flip(images, generator(seed), padding)
    assert result.shape == images.shape
    assert result.dtype == images.dtype
    np.testing.assert_array_equal(result, one_by_one(images, seed, padding))


@given(SHAPES, st.integers(0, 1000))
def test_pixels_are_those_of_the_same_image_and_channel_or_zero(shape, seed):
    images = numbered(*shape)
    result = crop_flip(images, generator(seed))
    for image, source in zip(result.flatten(0, 1), images.flatten(0, 1), strict=True):
        assert set(image.flatten().tolist()) <= {0.0, *source.flatten().tolist()}


@given(SHAPES, st.integers(0, 1000))
def test_without_padding_an_image_stays_or_is_mirrored(shape, seed):
    images = numbered(*shape)
    for image, result in zip(images, crop_flip(images, generator(seed), padding=0), strict=True):
        assert torch.equal(result, image) or torch.equal(result, image.flip(2))


def offsets(count: int, padding: int = 4, size: int = 16) -> list[tuple[int, int, bool]]:
    """Row and column shift and the flip of each of `count` images, read off the pixels."""
    image = numbered(1, 1, size, size)
    found = []
    for result in crop_flip(image.repeat(count, 1, 1, 1), generator(3), padding)[:, 0]:
        value = int(result[size // 2, size // 2]) - 1
        mirrored = bool(result[size // 2, size // 2 + 1] < result[size // 2, size // 2])
        column = size // 2 - 1 if mirrored else size // 2
        found.append((value // size - size // 2, value % size - column, mirrored))
    return found


def test_every_image_has_its_own_draw_and_all_places_are_equally_likely():
    found = offsets(4000)
    assert {row for row, _, _ in found} == {column for _, column, _ in found} == set(range(-4, 5))
    assert len(set(found)) == 9 * 9 * 2
    rows, columns = np.array([f[:2] for f in found]).T
    for shifts in (rows, columns):
        counts = np.bincount(shifts + 4)
        assert abs(counts - 4000 / 9).max() < 5 * np.sqrt(4000 * 8 / 81)
    assert abs(np.corrcoef(rows, columns)[0, 1]) < 0.08
    assert np.mean([mirrored for _, _, mirrored in found]) == pytest.approx(0.5, abs=0.04)


def test_is_a_function_of_the_generator_alone():
    images = torch.rand(32, 3, 8, 8)
    torch.manual_seed(1)
    first = crop_flip(images, generator(5))
    torch.manual_seed(2)
    assert torch.equal(crop_flip(images, generator(5)), first)
    assert not torch.equal(crop_flip(images, generator(6)), first)


def test_leaves_its_input_and_the_global_random_state_alone():
    images = numbered(4, 3, 8, 8)
    before, state = images.clone(), torch.get_rng_state()
    crop_flip(images, generator(0))
    assert torch.equal(images, before)
    assert torch.equal(torch.get_rng_state(), state)


def test_two_batches_of_an_epoch_are_augmented_differently():
    images = torch.arange(1, 65, dtype=torch.uint8).view(1, 8, 8).repeat(32, 1, 1)
    first, second = Batches(images, torch.zeros(32).long(), 16, augment=crop_flip).of_epoch(0)
    assert not torch.equal(first[0], second[0])
