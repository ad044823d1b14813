"""A network in two parts: what stays as it is, and what learns; only one tensor goes from the first to the second.

What the first part gives for an image is then computed once, however long the second one trains.
"""

import copy
from collections.abc import Iterable
from itertools import pairwise
from typing import Any, NamedTuple

from torch import fx, nn

from vision_studies.models.fused import folded

_COMPUTED = ("call_module", "call_function", "call_method")
"""Kinds of nodes that compute something."""


class CutNetwork(NamedTuple):
    """The parts of a network, each in evaluation mode, one after the other.

    Attributes:
        before: of an image; None where all layers are behind the cut.
        behind: of what `before` gives, or of an image.
        layers: with parameters, of the whole network.
        layers_behind: of `behind`.
    """

    before: nn.Module | None
    behind: nn.Module
    layers: int
    layers_behind: int


def cut_network(network: nn.Module, share: float) -> CutNetwork:
    """Cut a network where at least a share of its layers, and as few more as may be, are behind the cut.

    Batch normalisation is folded into the convolutions before it, so that its statistics stay what they are. A network that
    cannot be traced is not cut.

    Args:
        network: one tensor goes in, one comes out; it is left as it is.
        share: of the layers with parameters, above 0; 1 for all of them.

    Examples:
        >>> import torch
        >>> from torch import nn
        >>> from vision_studies.models.cut_network import cut_network
        >>> network = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2)).eval()
        >>> cut = cut_network(network, 0.3)
        >>> x = torch.rand(3, 4)
        >>> cut.layers, cut.layers_behind, bool(torch.equal(cut.behind(cut.before(x)), network(x)))
        (3, 1, True)
    """
    whole = folded(network)
    layers = sum(_has_parameters(module) for module in whole.modules())
    if share >= 1 or not isinstance(whole, fx.GraphModule):
        return CutNetwork(None, whole, layers, layers)
    modules = dict(whole.named_modules())
    nodes = list(whole.graph.nodes)
    behind, wanted = 0, max(1, round(share * layers))
    for place in range(len(nodes) - 1, 0, -1):
        if behind >= wanted and (crossing := _crossing(nodes, place)) is not None:
            parts = (_part(whole, nodes[:place], None, crossing), _part(whole, nodes[place:], crossing, None))
            return CutNetwork(*parts, layers, behind)
        if nodes[place].op == "call_module":
            behind += sum(_has_parameters(module) for module in modules[str(nodes[place].target)].modules())
    return CutNetwork(None, whole, layers, layers)


def network_blocks(network: nn.Module) -> list[nn.Module]:
    """A network as blocks that follow one another, each with parameters; only one tensor goes from one to the next.

    Blocks are those of the network's own code: what stands in one numbered module, as `layer1.0` and `blocks.3` do, or in one
    module below the network where nothing is numbered, is one block, with all that comes before the next. Batch normalisation
    is folded into the convolutions before it.

    Args:
        network: one tensor goes in, one comes out; it is left as it is.

    Returns:
        Blocks in evaluation mode, none of which changes what it is given; one alone where the network cannot be traced, or has
        no such places.

    Examples:
        >>> import torch
        >>> from torch import nn
        >>> from vision_studies.models.cut_network import network_blocks
        >>> network = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)).eval()
        >>> blocks = network_blocks(network)
        >>> x = torch.rand(5, 4)
        >>> len(blocks), bool(torch.equal(blocks[1](blocks[0](x)), network(x)))
        (2, True)
    """
    whole = folded(network)
    if not isinstance(whole, fx.GraphModule):
        return [whole]
    _keep_inputs(whole)
    modules, nodes = dict(whole.named_modules()), list(whole.graph.nodes)
    learning = [
        place
        for place, node in enumerate(nodes)
        if node.op == "call_module" and any(map(_has_parameters, modules[str(node.target)].modules()))
    ]
    starts: list[tuple[int, fx.Node]] = []
    for before, place in pairwise(learning):
        if _block_name(nodes[before]) != _block_name(nodes[place]):
            several = ((cut, _crossing(nodes, cut, _COMPUTED)) for cut in range(place, before, -1))
            starts += [(cut, crossing) for cut, crossing in several if crossing is not None][:1]
    places = [0, *(cut for cut, _ in starts), len(nodes)]
    crossings = [None, *(crossing for _, crossing in starts), None]
    return [
        _part(whole, nodes[first:last], enters, leaves)
        for (first, last), (enters, leaves) in zip(pairwise(places), pairwise(crossings), strict=True)
    ]


def _block_name(node: fx.Node) -> str:
    """The numbered module, or else the module below the network, that a layer stands in."""
    words = str(node.target).split(".")
    number = next((place for place, word in enumerate(words) if word.isdigit()), None)
    return ".".join(words[: number + 1] if number is not None else words[:-1] or words)


def _keep_inputs(whole: fx.GraphModule) -> None:
    """Let nothing in a network change what it is given."""
    for module in whole.modules():
        if getattr(module, "inplace", False):
            module.inplace = False  # type: ignore[assignment] # torch takes it for any attribute
    for node in whole.graph.nodes:
        if "inplace" in node.kwargs:
            node.update_kwarg("inplace", False)


def _has_parameters(module: nn.Module) -> bool:
    return next(iter(module.parameters(recurse=False)), None) is not None


def _crossing(nodes: list[fx.Node], place: int, kinds: tuple[str, ...] = ("call_module",)) -> fx.Node | None:
    """The only node before `place` that nodes from there on use; None where there are several, or it is of another kind, as the
    image is.
    """
    later = set(nodes[place:])
    crossing = [node for node in nodes[:place] if node.op != "get_attr" and not later.isdisjoint(node.users)]
    return crossing[0] if len(crossing) == 1 and crossing[0].op in kinds else None


def _part(whole: fx.GraphModule, nodes: Iterable[fx.Node], enters: fx.Node | None, leaves: fx.Node | None) -> nn.Module:
    """A network of some nodes, where `enters` is what goes in, and `leaves` what comes out."""
    graph, own = fx.Graph(), dict[fx.Node, fx.Node]()

    def copied(node: fx.Node) -> fx.Node:
        if node not in own:  # a constant, which comes before the cut and is used behind it
            own[node] = graph.node_copy(node, copied)
        return own[node]

    if enters is not None:
        own[enters] = graph.placeholder("activations")
    for node in nodes:
        copied(node)
    if leaves is not None:
        graph.output(own[leaves])
    graph.lint()
    part: Any = fx.GraphModule(whole, graph)
    return copy.deepcopy(part).eval()
