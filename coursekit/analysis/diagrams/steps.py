"""What a network computes, step by step, read from the module itself."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import fx, nn
from torch.fx.passes.shape_prop import ShapeProp

from coursekit.models import BasicBlock, ZeroPadShortcut, parameter_count

_FOLLOWERS = {"norm", "activation", "pooling", "dropout"}  # drawn with the layer before them
_FUNCTIONS = {"relu": "ReLU", "silu": "Swish", "sigmoid": "sigmoid", "tanh": "tanh"}


@dataclass
class Step:
    """A layer with what follows it: words, kind, output shape of one example, parameters.

    Where a shortcut joins, `source` is the step that it leaves and `shortcut` the words and parameters on its way. A
    residual block that is one step has the kind of its shortcut there.
    """

    kind: str
    words: list[str]
    shape: tuple[int, ...]
    parameters: int = 0
    source: int | None = None
    shortcut: tuple[list[str], int] = ((), 0)

    @property
    def size(self) -> str:
        """The output shape in words."""
        return "×".join(map(str, self.shape))


class _Tracer(fx.Tracer):
    """Follows a forward pass to torch's layers; a residual block within a network is one step."""

    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        return isinstance(module, BasicBlock | ZeroPadShortcut) or super().is_leaf_module(module, name)


@torch.no_grad()
def steps(model: nn.Module, input_shape: Sequence[int]) -> list[Step]:
    """The steps of a network, the input first, by tracing its forward pass with one example of this shape."""
    model = copy.deepcopy(model).cpu().float().eval()
    graph = _Tracer().trace(model)
    ShapeProp(fx.GraphModule(model, graph)).propagate(torch.zeros(1, *input_shape))
    found: list[Step] = []
    places: dict[fx.Node, int] = {}
    flatten: list[str] = []
    way = _main_way(graph)
    for node in way:
        layer = model.get_submodule(node.target) if node.op == "call_module" else None
        kind, words = _name(node, layer)
        shape, count = tuple(node.meta["tensor_meta"].shape[1:]), parameter_count(layer) if layer else 0
        if kind == "flatten":
            flatten = [words]
        elif kind in _FOLLOWERS and found[-1].kind not in ("input", "join"):
            found[-1].words.append(words)
            found[-1].shape, found[-1].parameters = shape, found[-1].parameters + count
        else:
            found.append(Step(kind, [*flatten, words], shape, count))
            flatten = []
        if isinstance(layer, BasicBlock):
            found[-1].shortcut = _kinds(layer), 0
        elif kind == "join":
            found[-1].source, found[-1].shortcut = _shortcut(node, way, places, model)
        places[node] = len(found) - 1
    return found


def _main_way(graph: fx.Graph) -> list[fx.Node]:
    """The longest way from the input to the output, which leaves out the shortcuts."""
    length: dict[fx.Node, int] = {}
    for node in graph.nodes:
        length[node] = 1 + max((length[source] for source in node.all_input_nodes), default=0)
    (node,) = graph.find_nodes(op="output")
    way = []
    while node.all_input_nodes:
        node = max(node.all_input_nodes, key=length.__getitem__)
        way.append(node)
    return way[::-1]


def _shortcut(join: fx.Node, way: list[fx.Node], places: dict, model: nn.Module) -> tuple[int, tuple[list[str], int]]:
    """The step at which the shortcut of a join begins, and the words and parameters of its layers."""
    before = way[way.index(join) - 1]
    node = next((source for source in join.all_input_nodes if source is not before), before)
    words, count = [], 0
    while node not in places:
        layer = model.get_submodule(node.target) if node.op == "call_module" else None
        words, count = [_name(node, layer)[1], *words], count + (parameter_count(layer) if layer else 0)
        node = node.all_input_nodes[0]
    return places[node], ([word for word in words if word != "identity"] or ["identity"], count)


def _kinds(block: BasicBlock) -> list[str]:
    if block.shortcut is None:
        return []
    kinds = {nn.Identity: "identity", ZeroPadShortcut: "zero padding"}
    return [kinds.get(type(block.shortcut), "projection")]


def _name(node: fx.Node, layer: nn.Module | None) -> tuple[str, str]:
    """Kind and words of a node: of a layer, or of a function in a forward pass."""
    if node.op == "placeholder":
        return "input", "input"
    if len(node.all_input_nodes) > 1:
        return "join", "+"
    if layer is None:
        name = getattr(node.target, "__name__", str(node.target))
        kinds = {"flatten": "flatten", "view": "flatten", "reshape": "flatten"} | dict.fromkeys(
            _FUNCTIONS, "activation"
        )
        return kinds.get(name, "pooling" if "pool" in name else "other"), _FUNCTIONS.get(name, name)
    return _layer_name(layer)


def _layer_name(layer: nn.Module) -> tuple[str, str]:
    match layer:
        case nn.Conv2d():
            height, width = layer.kernel_size
            return "convolution", f"conv {height}×{width}{_stride(layer)}"
        case nn.MaxPool2d() | nn.AvgPool2d():
            return "pooling", f"{'max' if isinstance(layer, nn.MaxPool2d) else 'average'} pool {layer.kernel_size}"
        case BasicBlock():
            return "block", ("plain" if layer.shortcut is None else "residual") + f" block{_stride(layer.conv1)}"
        case nn.Dropout():
            return "dropout", f"dropout {layer.p:g}"
    names = {
        nn.Linear: ("linear", "linear"),
        nn.BatchNorm1d: ("norm", "batch norm"),
        nn.BatchNorm2d: ("norm", "batch norm"),
        nn.AdaptiveAvgPool2d: ("mean", "global average pool"),
        nn.Flatten: ("flatten", "flatten"),
        nn.Identity: ("identity", "identity"),
        nn.SiLU: ("activation", "Swish"),
        nn.ReLU: ("activation", "ReLU"),
        nn.Sigmoid: ("activation", "sigmoid"),
        nn.Tanh: ("activation", "tanh"),
        ZeroPadShortcut: ("padding", "zero padding"),
    }
    return names.get(type(layer), ("other", type(layer).__name__))


def _stride(layer: nn.Conv2d) -> str:
    return f", stride {layer.stride[0]}" if layer.stride[0] > 1 else ""
