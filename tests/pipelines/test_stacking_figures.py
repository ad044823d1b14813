import pandas as pd
import pytest
from tests.pipelines.stacking.conftest import stacking_settings

from vision_studies.pipelines.stacking.nodes import plot_comparison, plot_search, plot_training

PLAN = [{"name": "3x_resnet9", "role": "stack", "stacks": ["3x_resnet9"], "parts": []}]
HISTORIES = pd.DataFrame(
    {
        "variant": "3x_resnet9",
        "run": "3x_resnet9, seed 0",
        "trial": [0, 0, 1],
        "seed": 0,
        "epoch": [1, 2, 1],
        "train_loss": 1.0,
        "validation_loss": 1.0,
        "validation_accuracy": [0.5, 0.6, 0.4],
        "learning_rate": 0.1,
    }
)
RESULTS = pd.DataFrame(
    {"variant": ["3x_resnet9"], "seed": [0], "test_accuracy": [0.5], "parameters": [10], "macs": [20], "seconds": [1.0]}
)
ROW = {"variant": "3x_resnet9", "n": 1, "mean": 0.5, "confidence": 0.95}
COMPARISON = {
    "best_by_validation": "3x_resnet9",
    "variants": [ROW | dict.fromkeys(("low", "high", "difference", "difference_low", "difference_high"))],
}
COMPARISON["opponents"] = {"3x_resnet9": COMPARISON["variants"]}
TRIALS = {
    "3x_resnet9": {
        "best": 1,
        "importance": {"training.optimizer.learning_rate": 1.0},
        "trials": [
            {
                "number": 1,
                "params": {"training.optimizer.learning_rate": 0.1, "training.schedule": "cosine"},
                "value": 0.4,
                "status": "complete",
            },
            {"number": 2, "params": {"training.optimizer.learning_rate": 0.9}, "value": None, "status": "diverged"},
        ],
    }
}


@pytest.mark.slow
@pytest.mark.parametrize("trainer", ["network", "mock"])
def test_every_figure_of_made_up_numbers_says_so_and_no_other_does(trainer):
    settings = stacking_settings(run={"trainer": trainer})
    figures = [
        *plot_comparison(settings, RESULTS, PLAN, COMPARISON),
        *plot_training(settings, HISTORIES[HISTORIES["trial"] == 0], PLAN),
        *plot_search(settings, TRIALS, HISTORIES[HISTORIES["trial"] == 1]).values(),
    ]
    assert len(figures) == 10
    stamped = [any("mock trainer" in text.get_text() for text in drawn.texts) for drawn in figures]
    assert stamped == [trainer == "mock"] * 10


def test_without_a_search_there_is_nothing_to_draw_of_one():
    assert plot_search(stacking_settings(), {}, HISTORIES) == {}
