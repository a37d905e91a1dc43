"""What a network computes, step by step, read from the module itself."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import fx, nn
from torch.fx.passes.shape_prop import ShapeProp

from coursekit.errors import UsageError
from coursekit.models import BasicBlock, ZeroPadShortcut, parameter_count

_FOLLOWERS = {"norm", "activation", "pooling", "dropout"}  # drawn with the layer before them
_FUNCTIONS = {
    "relu": "ReLU",
    "silu": "Swish",
    "sigmoid": "sigmoid",
    "tanh": "tanh",
    "view": "flatten",
    "reshape": "flatten",
}
_FUNCTION_KINDS = dict.fromkeys(_FUNCTIONS, "activation") | dict.fromkeys(("flatten", "view", "reshape"), "flatten")


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


def steps(model: nn.Module, input_shape: Sequence[int]) -> list[Step]:
    """The steps of a network, the input first, from tracing its forward pass with one example of this shape.

    Raises UsageError where that fails: the shape does not fit, or the forward pass depends on the numbers.
    """
    model = copy.deepcopy(model).cpu().float().eval()
    graph = _trace(model, input_shape)
    layers = {node: model.get_submodule(node.target) for node in graph.nodes if node.op == "call_module"}
    found: list[Step] = []
    places: dict[fx.Node, int] = {}
    flatten: list[str] = []
    way = _main_way(graph)
    for node in way:
        layer = layers.get(node)
        kind, words = _name(node, layer)
        shape, count = tuple(node.meta["tensor_meta"].shape[1:]), _count(layer)
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
            found[-1].source, found[-1].shortcut = _shortcut(node, way, places, layers)
        places[node] = len(found) - 1
    return found


@torch.no_grad()
def _trace(model: nn.Module, input_shape: Sequence[int]) -> fx.Graph:
    """The operations of a forward pass; each that gives a tensor has its shape in `meta`."""
    try:
        graph = _Tracer().trace(model)
        ShapeProp(fx.GraphModule(model, graph)).propagate(torch.zeros(1, *input_shape))
    except Exception as error:  # whatever a forward pass raises
        reason = str(error.__cause__ or error).strip().split("\n")[0]
        raise UsageError(
            f"cannot draw {type(model).__name__} for inputs of shape {tuple(input_shape)}: {reason}"
        ) from error
    return graph


def _sources(node: fx.Node) -> list[fx.Node]:
    """The inputs of a node that are computed tensors; not sizes, and not parameters."""
    return [source for source in node.all_input_nodes if "tensor_meta" in source.meta and source.op != "get_attr"]


def _main_way(graph: fx.Graph) -> list[fx.Node]:
    """The longest way from the input to the output, which leaves out the shortcuts."""
    length: dict[fx.Node, int] = {}
    for node in graph.nodes:
        length[node] = 1 + max((length[source] for source in _sources(node)), default=0)
    (node,) = graph.find_nodes(op="output")
    way = []
    while _sources(node):
        node = max(_sources(node), key=length.__getitem__)
        way.append(node)
    return way[::-1]


def _shortcut(join: fx.Node, way: list[fx.Node], places: dict, layers: dict) -> tuple[int, tuple[list[str], int]]:
    """The step at which the shortcut of a join begins, and the words and parameters of its layers."""
    before = way[way.index(join) - 1]
    node = next((source for source in _sources(join) if source is not before), before)
    words, count = [], 0
    while node not in places:
        words, count = [_name(node, layers.get(node))[1], *words], count + _count(layers.get(node))
        node = _sources(node)[0]
    return places[node], ([word for word in words if word != "identity"] or ["identity"], count)


def _count(layer: nn.Module | None) -> int:
    return parameter_count(layer) if layer else 0


def _kinds(block: BasicBlock) -> list[str]:
    if block.shortcut is None:
        return []
    kinds = {nn.Identity: "identity", ZeroPadShortcut: "zero padding"}
    return [kinds.get(type(block.shortcut), "projection")]


def _name(node: fx.Node, layer: nn.Module | None) -> tuple[str, str]:
    """Kind and words of a node: of a layer, or of a function in a forward pass."""
    if node.op == "placeholder":
        return "input", "input"
    if layer is not None:
        return _layer_name(layer)
    name = getattr(node.target, "__name__", str(node.target))
    if len(_sources(node)) > 1:
        return "join", {"add": "+", "iadd": "+", "mul": "×"}.get(name, name)
    kind = _FUNCTION_KINDS.get(name, "pooling" if "pool" in name else "other")
    return kind, _FUNCTIONS.get(name, name.replace("_", " "))


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
