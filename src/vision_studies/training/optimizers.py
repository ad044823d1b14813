"""Optimisers, Muon among them."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any, Protocol, TypedDict, Unpack, runtime_checkable

import torch
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer

from vision_studies.config.training import AdamWSettings, MuonSettings, OptimizerSettings, SgdSettings
from vision_studies.training.precision import has_fast_bfloat16

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
"""Coefficients of the quintic x -> a x + b x^3 + c x^5, chosen for the steepest slope at 0 (Jordan et al. 2024)."""


@runtime_checkable
class HasLearningRates(Protocol):
    """A network whose parts learn at rates of their own."""

    def learning_rates(self) -> list[tuple[float, list[nn.Parameter]]]:
        """Parts of the optimiser's learning rate, each with its trainable parameters; together all there are."""


def build_optimizers(model: nn.Module, settings: OptimizerSettings) -> list[Optimizer]:
    """Optimisers that together hold every trainable parameter of `model`: one, or two with Muon.

    Of a network that `HasLearningRates`, SGD and AdamW hold each part at its own rate.

    Examples:
        >>> from torch import nn
        >>> from vision_studies.config.training import MuonSettings, SgdSettings
        >>> from vision_studies.training.optimizers import build_optimizers
        >>> rest = SgdSettings(name="sgd", learning_rate=0.1, momentum=0.9, nesterov=True, weight_decay=0.0)
        >>> momentum = {"name": "muon", "learning_rate": 0.02, "momentum": 0.6, "nesterov": True, "weight_decay": 0.0}
        >>> settings = MuonSettings(**momentum, unit_weights=True, iterations=5, rest=rest)
        >>> model = nn.Sequential(nn.Linear(8, 16), nn.Linear(16, 16), nn.Linear(16, 2))
        >>> for optimizer in build_optimizers(model, settings):
        ...     print(type(optimizer).__name__, [list(weight.shape) for weight in optimizer.param_groups[0]["params"]])
        Muon [[16, 16]]
        SGD [[16, 8], [16], [16], [2, 16], [2]]
    """
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not isinstance(settings, MuonSettings):
        if isinstance(model, HasLearningRates):
            rate = settings.learning_rate
            groups = [{"params": values, "lr": part * rate} for part, values in model.learning_rates() if values]
            return [ordinary_optimizer(groups, settings)]
        return [ordinary_optimizer(trainable, settings)]
    hidden = hidden_weights(model)
    among_hidden = set(map(id, hidden))
    rest = [parameter for parameter in trainable if id(parameter) not in among_hidden]
    options = settings.model_dump(exclude={"name", "learning_rate", "rest"})
    muon: list[Optimizer] = [Muon(hidden, lr=settings.learning_rate, **options)] if hidden else []
    return [*muon, ordinary_optimizer(rest, settings.rest)] if rest else muon


def hidden_weights(model: nn.Module) -> list[nn.Parameter]:
    """Matrices and convolution filters between the first and the last layer: what Muon is made for."""
    weights = [
        parameter
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and parameter.ndim >= 2 and name.endswith("weight")
    ]
    return weights[1:-1]


class MuonOptions(TypedDict):
    """What `Muon` takes.

    Attributes:
        lr: learning rate.
        momentum: share of the running update that is kept.
        nesterov: look ahead along the momentum.
        weight_decay: decoupled decay of the weights.
        unit_weights: scale each weight, before a step, so that its rows have a root mean square norm of 1. A norm after
            the layer makes the scale meaningless, and without growth the learning rate keeps its meaning.
        iterations: Newton-Schulz iterations an update.
    """

    lr: float
    momentum: float
    nesterov: bool
    weight_decay: float
    unit_weights: bool
    iterations: int


class Muon(Optimizer):
    """Momentum orthogonalised by Newton-Schulz iterations (Jordan et al. 2024, "Muon: an optimizer for hidden layers").

    Each update is replaced by the nearest matrix with orthonormal rows or columns, so that all directions of a weight
    learn at the same pace. Filters [out, in, h, w] count as matrices [out, in * h * w]. Updates of tall matrices are
    scaled by sqrt(rows / columns), which keeps the change of a layer's output independent of its shape.

    Args:
        params: matrices or filters.
        options: see `MuonOptions`.
    """

    def __init__(self, params: Iterable[nn.Parameter], **options: Unpack[MuonOptions]) -> None:
        super().__init__(params, dict(options))

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override] # noqa: ARG002 - torch's name; nobody has one
        """Update every weight that has a gradient."""
        for group in self.param_groups:
            by_shape: dict[tuple[int, int], list[tuple[nn.Parameter, Tensor]]] = defaultdict(list)
            for parameter in group["params"]:
                if parameter.grad is not None:
                    update = self._momentum_update(parameter, group)
                    by_shape[update.shape[0], update.shape[1]].append((parameter, update))
            # Weights of one shape are orthogonalised together: fewer, larger products.
            for (rows, columns), pairs in by_shape.items():
                updates = orthogonalise(torch.stack([update for _, update in pairs]), group["iterations"])
                scale = max(1.0, rows / columns) ** 0.5
                for (parameter, _), update in zip(pairs, updates, strict=True):
                    if group["unit_weights"]:
                        parameter.mul_(len(parameter) ** 0.5 / parameter.norm())
                    parameter.mul_(1 - group["lr"] * group["weight_decay"])
                    parameter.add_(update.reshape(parameter.shape).to(parameter.dtype), alpha=-group["lr"] * scale)

    def _momentum_update(self, parameter: nn.Parameter, group: dict[str, Any]) -> Tensor:
        gradient = parameter.grad
        assert gradient is not None  # noqa: S101 - the caller has looked
        state = self.state[parameter]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(parameter)
        buffer = state["momentum_buffer"]
        buffer.lerp_(gradient, 1 - group["momentum"])
        update = gradient.lerp(buffer, group["momentum"]) if group["nesterov"] else buffer
        return update.reshape(len(update), -1)


def orthogonalise(matrices: Tensor, iterations: int) -> Tensor:
    """Nearest semi-orthogonal matrices, roughly: singular values end between about 0.7 and 1.2.

    float32 is computed in bfloat16 where the device is fast at it, as an update needs no more digits than that; float64
    stays what it is.

    Args:
        matrices: [N, rows, columns].
        iterations: Newton-Schulz iterations; 5 are enough for singular values above 1 % of the largest.

    Examples:
        >>> import torch
        >>> from vision_studies.training.optimizers import orthogonalise
        >>> stretched = torch.diag(torch.tensor([4.0, 2.0, 1.0]))
        >>> values = torch.linalg.svdvals(orthogonalise(stretched[None], iterations=5)[0].float())
        >>> bool((values > 0.6).all() and (values < 1.3).all())
        True
    """
    a, b, c = NEWTON_SCHULZ
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    if matrices.dtype == torch.float32 and has_fast_bfloat16(matrices.device.type):
        x = x.bfloat16()
    for _ in range(iterations):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x


def ordinary_optimizer(
    parameters: Iterable[Tensor] | Iterable[dict[str, Any]], settings: SgdSettings | AdamWSettings
) -> Optimizer:
    """An optimiser of torch for these parameters, or groups of them, whatever they belong to."""
    kind = SGD if isinstance(settings, SgdSettings) else AdamW
    return kind(parameters, lr=settings.learning_rate, **settings.model_dump(exclude={"name", "learning_rate"}))
