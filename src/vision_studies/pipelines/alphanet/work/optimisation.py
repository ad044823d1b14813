"""Optimisers and schedulers of torch by their names."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from vision_studies.errors import ParameterError
from vision_studies.pipelines.alphanet.settings import AlphaNetworkSettings, CombinationTrainingSettings, TorchSettings
from vision_studies.pipelines.alphanet.work.network import StackedAlphaNetworks


def check_settings(network: AlphaNetworkSettings, training: CombinationTrainingSettings) -> None:
    """Try activation, optimiser and scheduler on a network of a few numbers, for as many epochs as there are.

    Raises:
        ParameterError: one of them is unknown or does not take its parameters.
    """
    _check_activation(network.activation)
    tiny = StackedAlphaNetworks(torch.zeros(1, 6), 2, network.model_copy(update={"activation": "relu"}), [0])
    optimizer = build_optimizer(training.optimizer, tiny)
    scheduler = build_scheduler(training.scheduler, optimizer)
    try:
        for _ in range(training.epochs):
            part, own = "optimizer", training.optimizer
            tiny().sum().backward()
            optimizer.step()
            if scheduler is not None and training.scheduler is not None:
                part, own = "scheduler", training.scheduler
                scheduler.step()
    except (TypeError, ValueError, RuntimeError) as error:
        raise ParameterError(
            f"alphanet.training.{part}: {own.name} does not work with {own.parameters} over {training.epochs} epochs ({error})."
        ) from error


def _check_activation(name: str) -> None:
    """Functions that mix numbers (softmax, normalize) or are drawn (dropout) would mix classes and networks of a stack."""
    try:
        function, values = getattr(F, name), torch.linspace(-2, 2, 64)
        together, alone = function(values.view(2, 32)), function(values)
        if not isinstance(together, Tensor) or together.shape != (2, 32):
            raise TypeError("it does not give as many numbers as it takes")
        if not torch.allclose(together.flatten(), alone):
            raise TypeError("it does not treat every number by itself")
    except (AttributeError, TypeError, ValueError, RuntimeError, LookupError) as error:
        raise ParameterError(
            f"alphanet.network.activation: '{name}' is no activation of torch.nn.functional ({error}); try leaky_relu, relu, "
            "gelu or tanh."
        ) from error


def build_optimizer(settings: TorchSettings, networks: StackedAlphaNetworks) -> torch.optim.Optimizer:
    """The optimiser of torch.optim that is named.

    Raises:
        ParameterError: it does not take these parameters.
    """
    return _built("optimizer", torch.optim, settings, networks.parameters())


def build_scheduler(
    settings: TorchSettings | None, optimizer: torch.optim.Optimizer
) -> torch.optim.lr_scheduler.LRScheduler | None:
    """The scheduler of torch.optim.lr_scheduler that is named; None for none.

    Raises:
        ParameterError: there is no such scheduler, or it does not take these parameters.
    """
    if settings is None:
        return None
    module = torch.optim.lr_scheduler
    # The step of ReduceLROnPlateau wants a metric, and the others' does not.
    names = sorted(
        name
        for name, kind in vars(module).items()
        if isinstance(kind, type) and issubclass(kind, module.LRScheduler) and not name.startswith("_")
    )
    names = [name for name in names if name not in ("LRScheduler", "ReduceLROnPlateau")]
    if settings.name not in names:
        raise ParameterError(
            f"alphanet.training.scheduler: there is no '{settings.name}' in torch; choose one of {', '.join(names)}."
        )
    return _built("scheduler", module, settings, optimizer)


def _built(part: str, module: Any, settings: TorchSettings, target: Any) -> Any:
    try:
        return getattr(module, settings.name)(target, **settings.parameters)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ParameterError(
            f"alphanet.training.{part}: {settings.name} does not take {settings.parameters} ({error})."
        ) from error
