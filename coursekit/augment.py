"""Random crop and flip of a whole batch at once, with a draw of its own for every image."""

import torch
from torch import Tensor
from torch.nn.functional import pad


def crop_flip(images: Tensor, generator: torch.Generator, padding: int = 4) -> Tensor:
    """Each image padded with zeros, cropped back to its size at a random place, and mirrored with probability ½.

    images (batch, channels, H, W), already normalised, so the padding has the mean colour. The draws come from a CPU
    generator: the same on every device.
    """
    batch, _, height, width = images.shape
    top, left = torch.randint(0, 2 * padding + 1, (2, batch, 1), generator=generator)
    flipped = torch.rand((batch, 1), generator=generator) < 0.5
    columns = torch.arange(width).expand(batch, width)
    columns = torch.where(flipped, columns.flip(1), columns) + left
    rows = torch.arange(height) + top
    padded = pad(images, (padding,) * 4)
    index = torch.arange(batch)[:, None, None], rows[:, :, None], columns[:, None, :]
    index = [part.to(images.device) for part in index]
    return padded.permute(0, 2, 3, 1)[tuple(index)].permute(0, 3, 1, 2)
