"""Splits, and batches that live on the device of the model."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from coursekit.data.datasets import Dataset
from coursekit.errors import DataError


def first_fraction(count: int, fraction: float = 0.8) -> tuple[Tensor, Tensor]:
    """Indices of the first `fraction` of `count` examples and of the rest, in file order, nothing shuffled."""
    cut = int(count * fraction)
    return torch.arange(cut), torch.arange(cut, count)


def stratified(labels: Tensor, per_class: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Indices for training and for validation, the second with `per_class` examples of every class; both ascending.

    Raises DataError when a class has no example left to train on.
    """
    rng = np.random.default_rng(seed)
    chosen = []
    for label in torch.unique(labels).tolist():
        members = torch.nonzero(labels == label).flatten().numpy()
        if len(members) <= per_class:
            raise DataError(f"class {label} has {len(members)} examples: too few to hold {per_class} out")
        chosen.append(rng.choice(members, per_class, replace=False))
    is_validation = torch.zeros(len(labels), dtype=torch.bool)
    is_validation[torch.from_numpy(np.concatenate(chosen))] = True
    return torch.nonzero(~is_validation).flatten(), torch.nonzero(is_validation).flatten()


def channel_statistics(images: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation per channel of uint8 images, on the scale [0, 1], over all pixels of all images."""
    channels = _with_channels(images).flatten(0, 2).unbind(1)
    counts = torch.stack([torch.bincount(channel, minlength=256) for channel in channels])  # of the 256 grey values
    shares, values = counts.double() / len(channels[0]), torch.arange(256, dtype=torch.float64) / 255
    mean = shares @ values
    std = (shares * (values - mean[:, None]) ** 2).sum(1).sqrt()
    return mean.float(), std.float()


def _with_channels(images: Tensor) -> Tensor:
    return images if images.ndim == 4 else images[..., None]


class Batches:
    """All batches of one epoch, as (images, labels) on `device`: float32 (batch, channels, H, W) and int64 (batch,).

    images uint8 (N, H, W) or (N, H, W, C) and labels move to the device once, here; scaling to [0, 1], `normalize`
    (mean, std per channel) and `augment` happen there, batch by batch. Pixels stay channels-last in memory, as in files
    and as convolutions like it. The order of an epoch (with `shuffle`) and its augmentation are pure functions of
    (seed, epoch): iterating counts the epochs up, `of_epoch` takes one by number. Raises DataError for images that are
    not uint8, labels that are not integers, and when there is nothing to iterate over.
    """

    def __init__(
        self,
        images: Tensor,
        labels: Tensor,
        batch_size: int,
        shuffle: bool = False,
        seed: int = 0,
        device: str | torch.device = "cpu",
        normalize: tuple[Tensor, Tensor] | None = None,
        augment: Callable[[Tensor, torch.Generator], Tensor] | None = None,
        drop_last: bool = False,
    ):
        if images.dtype != torch.uint8 or len(images) != len(labels):
            got = f"{images.dtype} of {len(images)} and {len(labels)} labels"
            raise DataError(f"images must be uint8, one for each label; got {got}")
        if labels.is_floating_point() or labels.is_complex():
            raise DataError(f"labels must be integers, the numbers of the classes; got {labels.dtype}")
        if batch_size < 1:
            raise DataError(f"batch_size must be at least 1, got {batch_size}")
        self.images = _with_channels(images).contiguous().to(device)
        self.labels = labels.long().to(device)
        self.batch_size, self.shuffle, self.seed, self.drop_last = batch_size, shuffle, seed, drop_last
        self.augment = augment
        height, width, channels = self.images.shape[1:]
        mean, std = normalize or (torch.zeros(channels), torch.ones(channels))
        # One multiply-add per number of an image, (x / 255 - mean) / std; rows of three alone would be slow.
        self.scale = (1 / (255 * std)).expand(height, width, channels).contiguous().to(device)
        self.shift = (-mean / std).expand(height, width, channels).contiguous().to(device)
        self.epoch = 0
        if len(self) == 0:
            raise DataError(f"0 batches: {len(labels)} examples, batch_size {batch_size}, drop_last={drop_last}")

    def __len__(self) -> int:
        count = len(self.labels)
        return count // self.batch_size if self.drop_last else -(-count // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        self.epoch += 1
        return self.of_epoch(self.epoch - 1)

    def of_epoch(self, epoch: int, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches of one epoch from batch number `start` on: the same ones whenever they are asked for."""
        seed = (1_000_003 * self.seed + epoch) % 2**63  # as large as torch takes them
        order = None
        if self.shuffle:
            permutation = torch.randperm(len(self.labels), generator=torch.Generator().manual_seed(seed))
            order = permutation.to(self.labels.device, non_blocking=True)
        for batch in range(start, len(self)):
            span = slice(batch * self.batch_size, (batch + 1) * self.batch_size)
            if order is None:
                images, labels = self.images[span], self.labels[span]
            else:  # five times as fast as indexing
                images, labels = (part.index_select(0, order[span]) for part in (self.images, self.labels))
            images = images.float().mul_(self.scale).add_(self.shift).permute(0, 3, 1, 2)
            if self.augment:
                images = self.augment(images, torch.Generator().manual_seed((1_000_003 * seed + batch) % 2**63))
            yield images, labels


EVALUATION_BATCH = 1000


class Splits(NamedTuple):
    """`train` is shuffled and augmented; `train_in_order` are the same images as they are, to be evaluated on."""

    train: Batches
    validation: Batches | None
    test: Batches
    train_in_order: Batches


def split(
    dataset: Dataset,
    device: torch.device | str = "cpu",
    *,
    batch_size: int = EVALUATION_BATCH,
    seed: int = 0,
    validation: int = 0,
    train_size: int | None = None,
    classes: tuple[int, ...] | None = None,
    pixels: str = "unit",
    augment: Callable | None = None,
) -> Splits:
    """The splits as `runs.Experiment` describes them with fields of these names."""
    images, labels = _only(classes, dataset.train_images, dataset.train_labels)
    train_index, val_index = torch.arange(len(labels)), None
    if validation:
        # A small (sample) data set gives up half of each class instead of all of it.
        per_class = min(validation, len(labels) // len(classes or dataset.classes) // 2)
        train_index, val_index = stratified(labels, per_class)
    train_index = train_index[:train_size]
    normalize = {
        "unit": None,
        "raw": (torch.zeros(1), torch.full((1,), 1 / 255)),
        "standard": channel_statistics(images[train_index]) if pixels == "standard" else None,
    }[pixels]
    common = dict(device=device, normalize=normalize)

    def whole(images: Tensor, labels: Tensor) -> Batches:
        return Batches(images, labels, EVALUATION_BATCH, **common)

    chosen = images[train_index], labels[train_index]
    train = Batches(*chosen, batch_size, shuffle=True, seed=seed, augment=augment, **common)
    held_out = None if val_index is None else whole(images[val_index], labels[val_index])
    test = whole(*_only(classes, dataset.test_images, dataset.test_labels))
    return Splits(train, held_out, test, whole(*chosen))


def _only(classes: tuple[int, ...] | None, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    if classes is None:
        return images, labels
    matches = labels[:, None] == torch.tensor(classes)
    chosen = matches.any(1)
    return images[chosen], matches[chosen].int().argmax(1)
