"""Figures that explain: networks, layers and optimizers as drawings, computed from the modules that they show."""

from coursekit.analysis.diagrams.convolution import max_pooling, receptive_field, receptive_fields, sliding_window
from coursekit.analysis.diagrams.descent import optimizer_paths, penalty_balls
from coursekit.analysis.diagrams.graph import softmax_graph
from coursekit.analysis.diagrams.layers import batch_norm_axes, dropout_masks
from coursekit.analysis.diagrams.networks import draw_blocks, draw_network, draw_pair

__all__ = [
    "batch_norm_axes",
    "draw_blocks",
    "draw_network",
    "draw_pair",
    "dropout_masks",
    "max_pooling",
    "optimizer_paths",
    "penalty_balls",
    "receptive_field",
    "receptive_fields",
    "sliding_window",
    "softmax_graph",
]
