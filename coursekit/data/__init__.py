"""Data sets by name, their splits, and batches that live on the device."""

from coursekit.data.augment import crop_flip
from coursekit.data.batches import Batches, Splits, channel_statistics, first_fraction, split, stratified
from coursekit.data.datasets import Dataset, load

__all__ = [
    "Batches",
    "Dataset",
    "Splits",
    "channel_statistics",
    "crop_flip",
    "first_fraction",
    "load",
    "split",
    "stratified",
]
