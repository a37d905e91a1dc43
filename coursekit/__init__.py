"""A deep-learning course as eight notebooks, and the tested code that they call.

The public names, and where each is; `from coursekit import Experiment, data, models, plots, sweep`.
"""

import os

from coursekit import lazy

# Read when torch is loaded, here or in a process that is started from here: threads that wait for each other sleep
# instead of spinning. Beside a busy neighbour steps with two threads are then two to three times as fast.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

__version__ = "0.1.0"

PUBLIC = {
    "Experiment": "runs.experiment:Experiment",
    "find": "runs.experiment:find",
    "run": "runs.experiment:run",
    "Result": "runs.store:Result",
    "Runs": "runs.sweeps:Runs",
    "sweep": "runs.sweeps:sweep",
    "recall": "runs.cached:recall",
    "recalled": "runs.cached:recalled",
    "check": "checks:check",
    "Comparison": "analysis.history:Comparison",
    "Spread": "analysis.history:Spread",
    "batches_of_test_set": "runs.probes:batches_of_test_set",
    "look_inside": "runs.probes:look_inside",
    "validation_slice": "runs.probes:validation_slice",
    "cluster": "runs.cluster",
    "colab": "colab",
    "data": "data",
    "diagnostics": "analysis.diagnostics",
    "diagrams": "analysis.diagrams",
    "errors": "errors",
    "history": "analysis.history",
    "executors": "runs.executors",
    "gradcheck": "scratch.gradcheck",
    "landscape": "analysis.landscape",
    "losses": "training.losses",
    "models": "models",
    "notebook": "notebook",
    "penalties": "training.penalties",
    "plots": "analysis.plots",
    "predictions": "classroom.predictions",
    "schedules": "training.schedules",
    "scorecard": "scorecard",
    "scratch": "scratch",
    "settings": "settings",
    "store": "runs.store",
    "training": "training",
}
__all__ = sorted(PUBLIC)
__getattr__, __dir__ = lazy.attach(__name__, PUBLIC)
