"""One loop, and what it needs: schedules, penalties, checkpoints, stacks."""

from coursekit.training.loop import evaluate, fit, train_one_epoch, train_step

__all__ = ["evaluate", "fit", "train_one_epoch", "train_step"]
