import pytest
from tests.pipelines.alphanet.test_alphanet_training import SETTINGS, with_training

from vision_studies.errors import ParameterError
from vision_studies.pipelines.alphanet.work.training import check_settings


def activation(name):
    return SETTINGS.network.model_copy(update={"activation": name})


@pytest.mark.parametrize("name", ["leaky_relu", "relu", "gelu", "tanh", "silu", "hardtanh", "rrelu"])
def test_activations_that_treat_every_number_by_itself_are_taken(name):
    check_settings(activation(name), SETTINGS.training)


@pytest.mark.parametrize(
    "name",
    [
        "leakyrelu",  # unknown
        "glu",  # half as many numbers
        "softmax",  # mixes the numbers of a class, or classes, or networks: it depends on the stack
        "normalize",
        "dropout",  # drawn from a generator that all share
        "linear",  # wants weights
        "one_hot",  # wants whole numbers
        "math",  # no function
    ],
)
@pytest.mark.filterwarnings("ignore:Implicit dimension choice")
def test_other_functions_are_refused(name):
    with pytest.raises(ParameterError, match=f"alphanet.network.activation: '{name}' is no activation"):
        check_settings(activation(name), SETTINGS.training)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"optimizer": {"name": "SGD", "parameters": {"lr": "fast"}}}, "training.optimizer: SGD does not take"),
        ({"optimizer": {"name": "SGD", "parameters": {"lr": -1.0}}}, "training.optimizer: SGD does not take"),
        (
            {"optimizer": {"name": "Adam", "parameters": {"foreach": True, "fused": True}}},
            "training.optimizer: Adam does not take",
        ),
        ({"scheduler": {"name": "Cosine", "parameters": {}}}, "training.scheduler: there is no 'Cosine' in torch"),
        ({"scheduler": {"name": "LambdaLR", "parameters": {"lr_lambda": "half"}}}, "LambdaLR does not take"),
        (
            {"scheduler": {"name": "OneCycleLR", "parameters": {"max_lr": 0.1, "total_steps": 5}}},
            "training.scheduler: OneCycleLR does not work with .* over 7 epochs",
        ),
    ],
)
def test_optimisers_and_schedulers_are_tried_to_the_last_epoch(changes, said):
    with pytest.raises(ParameterError, match=said):
        check_settings(SETTINGS.network, with_training(**changes).training)


def test_a_scheduler_that_lasts_is_taken():
    changes = {"scheduler": {"name": "OneCycleLR", "parameters": {"max_lr": 0.1, "total_steps": 8}}}
    check_settings(SETTINGS.network, with_training(**changes).training)
    check_settings(SETTINGS.network, with_training(scheduler=None).training)
