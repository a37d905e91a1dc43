"""Random crop and flip of a whole batch at once, with a draw of its own for each image."""

import torch
from torch import Tensor
from torch.nn.functional import pad


def crop_flip(images: Tensor, generator: torch.Generator, padding: int = 4) -> Tensor:
    """Each image padded with zeros, cropped back to its size at a random place, and mirrored with probability ½.

    images (batch, channels, H, W), already normalised, so the padding has the mean colour. The draws come from a CPU
    generator: the same on every device.
    """
    batch, _, height, width = images.shape
    # A copy that is waited for would hold up every step on a GPU until all before it are done.
    top, left = torch.randint(0, 2 * padding + 1, (2, batch), generator=generator).to(images.device, non_blocking=True)
    flipped = (torch.rand(batch, generator=generator) < 0.5).to(images.device, non_blocking=True)
    # Every window of every padded image, as a view: choosing one of each copies just its pixels.
    windows = pad(images, (padding,) * 4).unfold(2, height, 1).unfold(3, width, 1)
    crops = windows[torch.arange(batch, device=images.device), :, top, left]
    return torch.where(flipped[:, None, None, None], crops.flip(3), crops)
