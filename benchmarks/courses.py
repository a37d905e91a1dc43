"""The courses' way to train: a torchvision Dataset, PIL images transformed one by one, a DataLoader, `.item()`.

torchvision is imported where it is used: that takes seconds, and most processes of a benchmark do without it.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.247, 0.243, 0.261)


def dataset(images: Tensor, labels: Tensor, transform: Callable) -> Dataset:
    """torchvision's own MNIST or CIFAR10, given its arrays instead of its files."""
    from torchvision.datasets import CIFAR10, MNIST, VisionDataset

    kind = CIFAR10 if images.ndim == 4 else MNIST
    made = kind.__new__(kind)
    VisionDataset.__init__(made, root="", transform=transform)
    made.data, made.targets = (images.numpy(), labels.tolist()) if kind is CIFAR10 else (images, labels.long())
    return made


def transform(colour: bool, augment: bool) -> Callable:
    """ToTensor, for colour images Normalize, and RandomCrop and RandomHorizontalFlip on the picture before them."""
    from torchvision import transforms

    first = [transforms.RandomCrop(32, padding=4), transforms.RandomHorizontalFlip()] if augment else []
    last = [transforms.Normalize(MEAN, STD)] if colour else []
    return transforms.Compose([*first, transforms.ToTensor(), *last])


def loader(images: Tensor, labels: Tensor, batch_size: int, augment: bool, workers: int) -> DataLoader:
    """Shuffled batches of the pictures."""
    pictures = dataset(images, labels, transform(images.ndim == 4, augment))
    return DataLoader(pictures, batch_size, shuffle=True, num_workers=workers)


def steps(model: nn.Module, batches: Iterator, optimizer: torch.optim.Optimizer, count: int) -> float:
    """The loop of the courses for some steps; mean loss."""
    loss_fn = nn.CrossEntropyLoss()
    model.train()
    total = 0.0
    for _ in range(count):
        images, labels = next(batches)
        optimizer.zero_grad()
        loss = loss_fn(model(images), labels)
        loss.backward()
        optimizer.step()
        total += loss.item()
    return total / count


def accuracy(model: nn.Module, batches: DataLoader) -> float:
    """Of all pictures of a loader, as the courses validate."""
    model.eval()
    correct = count = 0
    with torch.no_grad():
        for images, labels in batches:
            correct += (model(images).argmax(1) == labels).sum().item()
            count += len(labels)
    model.train()
    return correct / count
