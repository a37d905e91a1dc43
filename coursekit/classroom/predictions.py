"""predictions.csv: the predicted class of every test image, and whether a file is what the course asks for."""

import operator
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor, nn

from coursekit import files
from coursekit.data.batches import Batches
from coursekit.errors import DataError, StorageError, UsageError
from coursekit.training import loop

HEADER = "Id,Label"
LARGEST = 10_000_000  # bytes; ten thousand rows are a hundredth of it


@torch.inference_mode()
def predict(model: nn.Module, batches: Batches) -> Tensor:
    """The most likely class of every example, in the data set's order and in eval mode; the model's mode is kept.

    Raises UsageError for batches that are shuffled or augmented: their rows would belong to other images. Raises
    DataError where the model's output is not finite: argmax would take nan for the largest.
    """
    if batches.shuffle or batches.augment:
        raise UsageError("predictions need the images in file order, as they are: no shuffle, no augment")
    with loop.in_eval_mode(model):
        logits = torch.cat([model(images) for images, _ in batches.of_epoch(0)]).cpu()
    lost = ~logits.isfinite().all(1)
    if lost.any():
        where = f"{int(lost.sum()):,} of {len(logits):,} images, first for image {int(lost.int().argmax())}"
        raise DataError(f"the model's output is not finite for {where}; its training has diverged")
    return logits.argmax(1)


def write(path: Path | str, labels: Iterable[int]) -> None:
    """One row for each label, numbered from 0 in the order given, below the header."""
    labels = labels.tolist() if isinstance(labels, Tensor) else labels
    rows = [f"{number},{operator.index(label)}" for number, label in enumerate(labels)]
    files.write_bytes(path, "\n".join([HEADER, *rows, ""]).encode())


def read(path: Path | str) -> bytes:
    """The bytes of the file, whatever they are; raises DataError where it cannot be read or is too large to be one."""
    try:
        return files.read_bytes(path, LARGEST)
    except StorageError as error:
        raise DataError(str(error)) from error


def validate(path: Path | str, rows: int = 10_000, classes: int = 10) -> list[int]:
    """The labels of a file that is as it must be: the header, then Id 0, 1, 2, ... with an integer Label each.

    Raises DataError for the first fault, with its row as a text editor or a spreadsheet counts: the header is row 1.
    """
    path = Path(path)
    content = read(path)
    try:
        lines = [line.removesuffix("\r") for line in content.decode().removesuffix("\n").split("\n")]
    except UnicodeDecodeError as error:
        row = content[: error.start].count(b"\n") + 1
        raise DataError(f"{path.name}, row {row}: not UTF-8; save it as plain text") from error
    if lines[0] != HEADER:
        raise DataError(f"{path.name}, row 1: the header is {lines[0][:40]!r}; it must be {HEADER!r}")
    for number, line in enumerate(lines[1 : rows + 1]):
        fault = _fault(line, number, classes)
        if fault:
            raise DataError(f"{path.name}, row {number + 2}: {fault}")
    if len(lines) != rows + 1:
        row, wanted = min(len(lines), rows + 1) + 1, "missing; predict" if len(lines) <= rows else "too many; keep"
        raise DataError(f"{path.name}, row {row}: {wanted} {rows:,} images, and {len(lines) - 1:,} rows are here")
    return [int(line.split(",")[1]) for line in lines[1:]]


def _fault(line: str, number: int, classes: int) -> str | None:
    """What is wrong with the row that belongs to image `number`, and what to do."""
    fields = line.split(",")
    if len(fields) != 2:
        return f"{line[:40]!r} is not Id,Label; write two numbers with a comma between them"
    if fields[0] != str(number):
        return f"Id is {fields[0][:20]!r} where {number} belongs; predict every image once, without shuffling"
    if fields[1] not in map(str, range(classes)):
        return f"Label is {fields[1][:20]!r}; write the class as an integer from 0 to {classes - 1}"
    return None
