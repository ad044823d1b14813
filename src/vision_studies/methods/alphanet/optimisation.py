"""Optimisers and schedulers of torch by their names."""

import torch
from torch import Tensor
from torch.nn import functional as F

from vision_studies.config.alphanet import AlphaNetworkSettings, CombinationTrainingSettings, TorchSettings
from vision_studies.errors import ParameterError
from vision_studies.methods.alphanet.network import StackedAlphaNetworks


def check_settings(network: AlphaNetworkSettings, training: CombinationTrainingSettings) -> None:
    """Try activation, optimiser and scheduler on a network of a few numbers.

    Raises:
        ParameterError: one of them is unknown or does not take its parameters.
    """
    try:
        values = getattr(F, network.activation)(torch.zeros(2, 3))
        if not isinstance(values, Tensor) or values.shape != (2, 3):
            raise TypeError("it does not give as many numbers as it takes")
    except (AttributeError, TypeError) as error:
        raise ParameterError(
            f"alphanet.network.activation: '{network.activation}' is no activation of torch.nn.functional ({error}); try "
            "leaky_relu, relu, gelu or tanh."
        ) from error
    tiny = StackedAlphaNetworks(torch.zeros(1, 6), 2, network.model_copy(update={"activation": "relu"}), [0])
    build_scheduler(training.scheduler, build_optimizer(training.optimizer, tiny))


def build_optimizer(settings: TorchSettings, networks: StackedAlphaNetworks) -> torch.optim.Optimizer:
    """The optimiser of torch.optim that is named.

    Raises:
        ParameterError: it does not take these parameters.
    """
    try:
        return getattr(torch.optim, settings.name)(networks.parameters(), **settings.parameters)
    except (TypeError, ValueError) as error:
        raise ParameterError(
            f"alphanet.training.optimizer: {settings.name} does not take {settings.parameters} ({error})."
        ) from error


def build_scheduler(
    settings: TorchSettings | None, optimizer: torch.optim.Optimizer
) -> torch.optim.lr_scheduler.LRScheduler | None:
    """The scheduler of torch.optim.lr_scheduler that is named; None for none.

    Raises:
        ParameterError: there is no such scheduler, or it does not take these parameters.
    """
    if settings is None:
        return None
    modules = torch.optim.lr_scheduler
    known = sorted(
        name
        for name, own in vars(modules).items()
        if isinstance(own, type) and issubclass(own, modules.LRScheduler) and own is not modules.LRScheduler
    )
    # Its step wants a metric, and the others' does not.
    known = [name for name in known if name != "ReduceLROnPlateau" and not name.startswith("_")]
    if settings.name not in known:
        raise ParameterError(
            f"alphanet.training.scheduler: there is no '{settings.name}' in torch; choose one of {', '.join(known)}."
        )
    try:
        return getattr(modules, settings.name)(optimizer, **settings.parameters)
    except (TypeError, ValueError) as error:
        raise ParameterError(
            f"alphanet.training.scheduler: {settings.name} does not take {settings.parameters} ({error})."
        ) from error
