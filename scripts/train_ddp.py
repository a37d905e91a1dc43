"""One ResNet on several GPUs: they share each batch, and the training is that of one.

    torchrun --standalone --nproc-per-node 4 --max-restarts 3 scripts/train_ddp.py --folder build/ddp
    python scripts/train_ddp.py --folder build/alone          # the same on one device, to compare

Every process makes the whole batch, augmentation included, and takes its share of the images; BatchNorm counts the
whole batch. So nothing but rounding depends on the number of processes. The first of them writes checkpoints, and
FOLDER/final.pt at the end. When one dies torchrun starts them all again, and they go on from the last checkpoint (on
one machine: several do not agree on the number of the attempt).
"""

import argparse
import io
import os
import sys
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, distributed, nn
from torch.nn.functional import cross_entropy

from coursekit import data, files, models
from coursekit.data.augment import crop_flip
from coursekit.data.datasets import SOURCES
from coursekit.errors import CoursekitError, UsageError
from coursekit.training import checkpoint, loop, schedules
from coursekit.training.checkpoint import Progress


class Sum(torch.autograd.Function):
    """The sum over all processes; its gradient is the sum of theirs."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        total = x.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:
        return Sum.forward(ctx, grad.contiguous())


class GlobalBatchNorm(nn.BatchNorm2d):
    """BatchNorm over the images of all processes on any device; torch's SyncBatchNorm is for GPUs alone."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        count = Sum.apply(x.new_tensor(x.numel() / x.shape[1]))
        mean = Sum.apply(x.sum((0, 2, 3))) / count
        centred = x - mean[:, None, None]
        variance = Sum.apply((centred * centred).sum((0, 2, 3))) / count
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * count / (count - 1), self.momentum)
            self.num_batches_tracked += 1
        scale = self.weight * (variance + self.eps).rsqrt()
        return centred * scale[:, None, None] + self.bias[:, None, None]


def with_global_norms(model: nn.Module) -> nn.Module:
    """Every BatchNorm of a new model replaced."""
    for name, layer in model.named_children():
        if isinstance(layer, nn.BatchNorm2d):
            setattr(model, name, GlobalBatchNorm(layer.num_features, layer.eps, layer.momentum))
        else:
            with_global_norms(layer)
    return model


def main(options: argparse.Namespace) -> None:
    """Train to the end, from the last checkpoint where there is one."""
    rank, world, local = (int(os.environ.get(name, default)) for name, default in PLACE.items())
    on_gpu = torch.cuda.is_available()
    device = torch.device("cuda", local) if on_gpu else torch.device("cpu")
    if on_gpu:
        torch.cuda.set_device(device)
    if world > 1:
        join("nccl" if on_gpu else "gloo", rank, world)
    parts = load(options, device, wait=world > 1 and local > 0, others=world > 1)
    rest = len(parts.train.labels) % options.batch_size
    if options.batch_size < world or 0 < rest < world:
        raise UsageError(f"a batch has fewer images than there are processes ({world}); choose another --batch-size")

    torch.manual_seed(options.seed)
    model = models.resnet(options.depth).to(device, memory_format=torch.channels_last)
    if world > 1:
        model = nn.SyncBatchNorm.convert_sync_batchnorm(model) if on_gpu else with_global_norms(model)
    model = model.double() if options.float64 else model
    optimizer = torch.optim.SGD(model.parameters(), lr=options.lr, momentum=0.9, weight_decay=1e-4)
    progress = checkpoint.restore(options.folder, model, optimizer)
    for group in optimizer.param_groups:
        group.setdefault("initial_lr", options.lr)  # what a checkpoint is known by, whatever the schedule does
    shared = nn.parallel.DistributedDataParallel(model) if world > 1 else model
    schedule = partial(schedules.multi_step, milestones=[options.epochs // 2, options.epochs * 3 // 4])
    for epoch in range(len(progress.history), options.epochs):
        for group in optimizer.param_groups:
            group["lr"] = options.lr * schedule(epoch)
        train_epoch(shared, parts.train, optimizer, progress, epoch, (rank, world), options)
        if rank == 0:
            finish_epoch(model, parts, optimizer, progress, epoch, options.folder)
        progress.totals = None
    if rank == 0:
        write(options.folder / "final.pt", {"model": model.state_dict(), "history": progress.history})
    if world > 1:
        distributed.barrier()
        distributed.destroy_process_group()


PLACE = {"RANK": 0, "WORLD_SIZE": 1, "LOCAL_RANK": 0}  # of this process, as torchrun says


def join(backend: str, rank: int, world: int) -> None:
    """Find the other processes of this attempt."""
    # torchrun keeps one store for all attempts (pytorch issue 135712): without a name of its own an attempt finds there
    # where the processes of the one before, now dead, could be reached.
    store, *_ = next(distributed.rendezvous("env://"))
    attempt = distributed.PrefixStore(f"attempt {os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}", store)
    distributed.init_process_group(backend, store=attempt, rank=rank, world_size=world)


def load(options: argparse.Namespace, device: torch.device, wait: bool, others: bool) -> data.Splits:
    """The splits; of the processes of one machine the first downloads what is missing."""
    if wait:
        distributed.barrier()
    dataset = data.load(options.data, options.source)
    if others and not wait:
        distributed.barrier()
    sizes = dict(batch_size=options.batch_size, train_size=options.train_size, validation=options.validation)
    return data.split(dataset, device, **sizes, seed=options.seed, pixels="standard", augment=crop_flip)


def train_epoch(
    model: nn.Module,
    batches: data.Batches,
    optimizer: torch.optim.Optimizer,
    progress: Progress,
    epoch: int,
    place: tuple[int, int],
    options: argparse.Namespace,
) -> None:
    """The steps of an epoch that are still to come; this process computes every `world`-th image of a batch."""
    rank, world = place
    model.train()
    for images, labels in batches.of_epoch(epoch, start=progress.step - epoch * len(batches)):
        count = len(labels)
        images = images.double() if options.float64 else images
        logits, labels = model(images[rank::world]), labels[rank::world]
        loss = cross_entropy(logits, labels, reduction="sum")
        optimizer.zero_grad()
        (loss * world / count).backward()  # shares may differ by an image, and DDP takes the mean over processes
        optimizer.step()
        sums = torch.stack([loss.detach(), (logits.argmax(1) == labels).sum().to(loss.dtype)])
        if world > 1:
            distributed.all_reduce(sums)
        sums = torch.cat([sums, sums.new_tensor([count])])
        progress.totals = sums if progress.totals is None else progress.totals + sums
        progress.step += 1
        if rank == 0 and progress.step % options.checkpoint_every == 0:
            checkpoint.write(options.folder, plain(model), optimizer, progress)


def plain(model: nn.Module) -> nn.Module:
    """The network itself."""
    return getattr(model, "module", model)


def finish_epoch(
    model: nn.Module,
    parts: data.Splits,
    optimizer: torch.optim.Optimizer,
    progress: Progress,
    epoch: int,
    folder: Path,
) -> None:
    """A row of history and a checkpoint; the other processes wait in their next step."""
    loss, correct, count = progress.totals.tolist()
    row = dict(epoch=epoch + 1, step=progress.step, train_loss=loss / count, train_accuracy=correct / count)
    if parts.validation:
        row["val_loss"], row["val_accuracy"] = loop.evaluate(model, parts.validation)
    progress.history.append(row)
    progress.totals = None
    checkpoint.write(folder, model, optimizer, progress)
    print("  ".join(f"{name} {value:.4g}" for name, value in row.items()), flush=True)


def write(path: Path, state: dict) -> None:
    """A file of tensors and plain values."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    files.write_bytes(path, buffer.getvalue())


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Options of the command line; the defaults are the published protocol of ResNet-20."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="for checkpoints and final.pt; on a disk all share")
    parser.add_argument("--data", default="cifar10", choices=("cifar10",))
    parser.add_argument("--source", default="auto", choices=SOURCES)
    parser.add_argument("--depth", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--batch-size", type=int, default=128, help="of all processes together")
    parser.add_argument("--lr", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--validation", type=int, default=500, help="images per class that are held out")
    parser.add_argument("--train-size", type=int)
    parser.add_argument("--checkpoint-every", type=int, default=350, metavar="STEPS")
    parser.add_argument("--float64", action="store_true", help="to compare runs: then hardly anything is rounding")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    try:
        main(parse())
    except CoursekitError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
