import numpy as np
import pytest
import torch

from coursekit import scratch
from coursekit.data import datasets, drawn
from coursekit.data.augment import crop_flip
from coursekit.data.batches import Batches, channel_statistics, first_fraction, stratified
from coursekit.errors import DataError

LABELS = torch.arange(10, dtype=torch.uint8).repeat(20)
COLOUR = torch.randint(0, 256, (200, 6, 5, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_first_fraction_is_in_file_order():
    train, validation = first_fraction(10, 0.8)
    assert train.tolist() == list(range(8))
    assert validation.tolist() == [8, 9]
    assert [part.tolist() for part in first_fraction(5, 0.7)] == [[0, 1, 2], [3, 4]]


def test_first_80_percent_of_mnist(real_data):
    _, validation = first_fraction(60_000, 0.8)
    counts = torch.bincount(datasets.load("mnist").train_labels[validation].long())
    assert counts.tolist() == [1194, 1272, 1196, 1242, 1187, 1097, 1170, 1297, 1198, 1147]


def test_stratified_holds_out_the_same_number_of_each_class():
    shuffled = LABELS[torch.randperm(200, generator=torch.Generator().manual_seed(1))]
    train, validation = stratified(shuffled, per_class=3, seed=5)
    assert torch.bincount(shuffled[validation].long()).tolist() == [3] * 10
    assert sorted(train.tolist() + validation.tolist()) == list(range(200))
    assert all(part.tolist() == sorted(part.tolist()) for part in (train, validation))
    assert torch.equal(validation, stratified(shuffled, 3, seed=5)[1])
    assert not torch.equal(validation, stratified(shuffled, 3, seed=6)[1])


def test_stratified_refuses_to_empty_a_class():
    with pytest.raises(DataError, match="class 0 has 20 examples"):
        stratified(LABELS, per_class=20)


def test_channel_statistics_equal_numpy():
    mean, std = channel_statistics(COLOUR)
    pixels = COLOUR.numpy().reshape(-1, 3) / 255
    np.testing.assert_allclose(mean, pixels.mean(0), rtol=1e-6)
    np.testing.assert_allclose(std, pixels.std(0), rtol=1e-6)


def test_channel_statistics_of_cifar(real_data):
    mean, std = channel_statistics(datasets.load("cifar10").train_images)
    np.testing.assert_allclose(mean, (0.4914, 0.4822, 0.4465), atol=5e-5)
    np.testing.assert_allclose(std, (0.2470, 0.2435, 0.2616), atol=5e-5)


def test_a_batch_is_channels_first_and_normalised():
    mean, std = channel_statistics(COLOUR)
    [(images, labels)] = Batches(COLOUR, LABELS, 200, normalize=(mean, std))
    assert images.shape == (200, 3, 6, 5)
    assert images.dtype == torch.float32
    assert labels.dtype == torch.int64
    expected = (COLOUR.permute(0, 3, 1, 2).float() / 255 - mean[:, None, None]) / std[:, None, None]
    torch.testing.assert_close(images, expected)
    assert abs(float(images.mean())) < 1e-5


def test_without_normalisation_pixels_lie_between_0_and_1():
    [(images, _)] = Batches(COLOUR[..., 0], LABELS, 200)
    assert images.shape == (200, 1, 6, 5)
    torch.testing.assert_close(images[:, 0], COLOUR[..., 0].float() / 255)


def test_every_example_once_an_epoch_images_with_their_labels():
    images = torch.arange(200, dtype=torch.uint8)[:, None, None].expand(200, 2, 2)
    batches = Batches(images, torch.arange(200, dtype=torch.uint8), 64, shuffle=True)
    assert len(batches) == 4
    chunks = list(batches)
    assert [len(y) for _, y in chunks] == [64, 64, 64, 8]
    labels = torch.cat([y for _, y in chunks])
    assert sorted(labels.tolist()) == list(range(200))
    assert all(torch.equal((x[:, 0, 0, 0] * 255).round().long(), y) for x, y in chunks)


def test_the_order_is_a_function_of_seed_and_epoch():
    def order(seed, epoch):
        batches = Batches(COLOUR, torch.arange(200, dtype=torch.uint8), 64, shuffle=True, seed=seed)
        batches.epoch = epoch
        return torch.cat([y for _, y in batches]).tolist()

    torch.manual_seed(1)
    first = order(3, 2)
    torch.manual_seed(2)
    assert order(3, 2) == first
    assert order(3, 3) != first
    assert order(4, 2) != first
    batches = Batches(COLOUR, torch.arange(200, dtype=torch.uint8), 64, shuffle=True, seed=3)
    epochs = [torch.cat([y for _, y in batches]).tolist() for _ in range(3)]
    assert epochs == [order(3, 0), order(3, 1), order(3, 2)]


@pytest.mark.parametrize("seed", [20_250_101, 2**31, 2**40])
def test_a_seed_may_be_as_long_as_a_date(seed):
    images, labels = torch.zeros(4, 8, 8, 3, dtype=torch.uint8), torch.arange(4)
    made = Batches(images, labels, 2, shuffle=True, seed=seed, augment=crop_flip)
    assert sorted(torch.cat([part for _, part in made]).tolist()) == [0, 1, 2, 3]


def test_drop_last_and_nothing_left():
    assert len(Batches(COLOUR, LABELS, 64, drop_last=True)) == 3
    assert sum(len(y) for _, y in Batches(COLOUR, LABELS, 64, drop_last=True)) == 192
    with pytest.raises(DataError, match="0 batches: 200 examples, batch_size 256, drop_last=True"):
        Batches(COLOUR, LABELS, 256, drop_last=True)
    with pytest.raises(DataError, match="0 batches: 0 examples"):
        Batches(COLOUR[:0], LABELS[:0], 64)


def test_only_uint8_images_with_as_many_labels():
    with pytest.raises(DataError, match=r"got torch.float32 of 200"):
        Batches(COLOUR.float(), LABELS, 64)
    with pytest.raises(DataError, match="and 199 labels"):
        Batches(COLOUR, LABELS[:-1], 64)


def draws(seed: int, epoch: int, start: int = 0) -> list[float]:
    """The first number that the augmentation of each batch of an epoch draws."""
    numbers = []

    def draw(images, generator):
        numbers.append(float(torch.rand(1, generator=generator)))
        return images

    list(Batches(COLOUR, LABELS, 30, seed=seed, augment=draw).of_epoch(epoch, start))
    return numbers


def test_every_batch_of_every_epoch_and_seed_has_augmentation_draws_of_its_own():
    numbers = [draws(seed, epoch) for seed in (0, 1, 7) for epoch in range(3)]
    assert len({number for epoch in numbers for number in epoch}) == 9 * 7
    assert draws(7, 2) == numbers[-1]


def test_augmentation_is_of_the_normalised_batch_and_only_in_what_is_handed_out():
    seen = []

    def add_noise(images, generator):
        seen.append(images.clone())
        return images + torch.rand(images.shape, generator=generator)

    plain = Batches(COLOUR, LABELS, 64, shuffle=True, normalize=channel_statistics(COLOUR))
    augmented = Batches(COLOUR, LABELS, 64, shuffle=True, normalize=channel_statistics(COLOUR), augment=add_noise)
    for _ in range(2):
        for (images, labels), (noisy, same) in zip(plain.of_epoch(0), augmented.of_epoch(0), strict=True):
            assert torch.equal(seen.pop(), images)
            assert torch.equal(labels, same)
            assert ((noisy - images) >= 0).all()
            assert ((noisy - images) <= 1).all()
            assert not torch.equal(noisy, images)


@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("start", [0, 1, 3, 4])
def test_an_epoch_from_a_batch_on_is_the_tail_of_the_whole_epoch(start, drop_last):
    options = dict(shuffle=True, seed=5, augment=crop_flip, drop_last=drop_last)
    batches = Batches(COLOUR, torch.arange(200), 64, **options)
    whole, tail = list(batches.of_epoch(2)), list(batches.of_epoch(2, start=start))
    assert len(whole) == len(batches)
    assert len(tail) == max(0, len(batches) - start)
    for (images, labels), (others, own) in zip(whole[start:], tail, strict=True):
        assert torch.equal(images, others)
        assert torch.equal(labels, own)


def test_asking_for_an_epoch_by_number_does_not_count_it():
    batches = Batches(COLOUR, torch.arange(200), 64, shuffle=True)
    expected = [torch.cat([labels for _, labels in batches.of_epoch(epoch)]) for epoch in range(2)]
    list(batches.of_epoch(7))
    for order in expected:
        assert torch.equal(torch.cat([labels for _, labels in batches]), order)


def test_no_two_pairs_of_small_seed_and_epoch_have_the_same_order():
    orders = set()
    for seed in range(5):
        batches = Batches(COLOUR, torch.arange(200), 200, shuffle=True, seed=seed)
        orders |= {tuple(next(batches.of_epoch(epoch))[1].tolist()) for epoch in range(5)}
    assert len(orders) == 25


def test_the_images_lie_channels_last_in_memory():
    [(images, _)] = Batches(COLOUR, LABELS, 200, shuffle=True)
    assert images.is_contiguous(memory_format=torch.channels_last)


def test_without_shuffle_batches_are_in_file_order():
    batches = Batches(COLOUR, torch.arange(200), 64, drop_last=True)
    assert [labels.tolist() for _, labels in batches] == [list(range(k, k + 64)) for k in (0, 64, 128)]


@pytest.mark.parametrize(("draw", "lr", "highest"), [(drawn.digits, 0.1, 0.96), (drawn.shapes, 0.02, 0.4)])
def test_a_linear_model_does_not_saturate_on_sample_images(draw, lr, highest):
    arrays = draw()
    pixels = {k: (v.reshape(len(v), -1) / 255).astype(np.float32) for k, v in arrays.items() if k.endswith("images")}
    model = scratch.SoftmaxRegression(pixels["train_images"].shape[1], relu=False)
    train = (pixels["train_images"], arrays["train_labels"].astype(int))
    test = (pixels["test_images"], arrays["test_labels"].astype(int))
    scratch.fit(model, train, test, scratch.SGD(lr), epochs=30)
    assert 0.12 < scratch.evaluate(model, *test)[1] < highest


def test_sample_images_are_balanced_and_use_the_whole_range():
    arrays = drawn.shapes(100, 50)
    assert np.bincount(arrays["test_labels"]).tolist() == [5] * 10
    assert arrays["train_images"].shape == (100, 32, 32, 3)
    assert arrays["train_images"].std() > 40
    assert set(np.unique(drawn.letters()["train_images"])) == {0, 1}


@pytest.mark.parametrize(
    ("labels", "batch_size", "message"),
    [
        (torch.zeros(4), 2, "labels must be integers, the numbers of the classes; got torch.float32"),
        (torch.zeros(4, dtype=torch.long), 0, "batch_size must be at least 1, got 0"),
        (torch.zeros(4, dtype=torch.long), -3, "batch_size must be at least 1, got -3"),
    ],
)
def test_what_would_be_cut_or_divide_by_zero_is_refused(labels, batch_size, message):
    with pytest.raises(DataError, match=f"^{message}$"):
        Batches(torch.zeros(4, 2, 2, dtype=torch.uint8), labels, batch_size)
