from datetime import datetime

import pandas as pd
import pytest
from tests.test_base_parameters import base_run

from vision_studies.errors import DataError
from vision_studies.pipelines.cifar_resnet.published_files import (
    config_table,
    metrics_table,
    read_metrics,
    training_log,
)

HISTORY = pd.DataFrame(
    {
        "epoch": [1, 2],
        "train_loss": [2.2, 1.9],
        "train_accuracy": [0.16, 0.4],
        "validation_loss": [1.9, 1.5],
        "validation_accuracy": [0.3, 0.5],
        "learning_rate": [0.01, 0.02],
        "seconds": [60.0, 120.0],
        "images_per_second": [640.0, 640.0],
        "peak_memory_mb": [400.0, 410.0],
    }
)


def test_metrics_are_in_the_units_of_the_original():
    table = metrics_table(HISTORY, base_run({"training": {"epochs": 200, "batch_size": 128}}))
    assert table["val_acc"].tolist() == [30.0, 50.0]
    assert table["batch_time_ms"].tolist() == [200.0, 200.0]
    assert table["eta_hours"].tolist() == pytest.approx([60 * 199 / 3600, 60 * 198 / 3600])


def test_metrics_are_read_back_as_a_history(tmp_path):
    table = metrics_table(HISTORY, base_run({}))
    table.to_csv(tmp_path / "metrics.csv", index=False)
    read = read_metrics(tmp_path / "metrics.csv")
    pd.testing.assert_frame_equal(read, HISTORY[read.columns.tolist()], check_dtype=False)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "There is no file"),
        ("epoch,train_loss\n1,2\n", r"it needs the columns epoch, train_loss, train_acc, val_loss"),
        ("epoch,train_loss,train_acc,val_loss,val_acc,learning_rate\n1,2,3,4,high,6\n", "is no metrics.csv"),
        ("", "is no metrics.csv"),
    ],
)
def test_a_file_that_has_no_metrics_is_told(tmp_path, content, message):
    file = tmp_path / "metrics.csv"
    if content is not None:
        file.write_text(content)
    with pytest.raises(DataError, match=message):
        read_metrics(file)


def test_the_configuration_of_the_published_run_is_found_again():
    config = config_table(base_run({}), experiment="plain", device="cpu")
    published = {
        "model_name": "resnet_small",
        "batch_size": 128,
        "num_epochs": 200,
        "lr_schedule": "onecycle",
        "max_lr": 0.1,
        "weight_decay": 1e-4,
        "label_smoothing": 0.1,
        "dropout_rate": 0.3,
        "grad_clip": 1.0,
        "use_cutmix": True,
        "cutmix_prob": 0.7,
        "random_crop_padding": 4,
        "save_interval": 10,
        "use_randaugment": False,
        "mixup_alpha": None,
    }
    assert {key: config[key] for key in published} == published
    steps = [{"name": "rand_augment", "num_ops": 2, "magnitude": 9, "num_magnitude_bins": 31}]
    other = config_table(base_run({"augmentation": {"steps": steps}}), experiment="plain", device="cpu")
    assert (other["use_randaugment"], other["randaugment_magnitude"], other["random_crop_padding"]) == (True, 9, None)


def test_the_log_is_stamped_back_from_the_end():
    finished = datetime(2026, 1, 1, 12, 0, 0)
    text = training_log(HISTORY, base_run({}), experiment="plain", parameters=2_819_370, finished=finished)
    lines = text.splitlines()
    assert lines[0] == "[2026-01-01 11:58:00] MODEL INFORMATION"
    assert "[2026-01-01 11:59:00] Epoch 1/200" in lines
    assert "[2026-01-01 11:58:00] Total Parameters: 2,819,370" in lines
    assert lines[-1] == "[2026-01-01 12:00:00] Training completed in 0h 2m 0s. Best validation accuracy: 50.0000%"
    assert sum("New best" in line for line in lines) == 2
    assert [line[22:] for line in lines if "Best Val Acc" in line] == [
        "Val Loss: 1.9000, Val Acc: 30.00%, Best Val Acc: 30.00%",
        "Val Loss: 1.5000, Val Acc: 50.00%, Best Val Acc: 50.00%",
    ]


def test_the_head_of_the_log_has_the_layers_and_an_epoch_with_a_checkpoint_says_so():
    finished = datetime(2026, 1, 1, 12, 0, 0)
    table = {"experiment": "plain", "parameters": 6, "finished": finished}
    text = training_log(HISTORY, base_run({}), layers=["first 4", "total 4"], saved=[2], **table)
    lines = [line[22:] for line in text.splitlines()]
    assert lines[:6] == [
        "MODEL INFORMATION",
        "Model: resnet_small",
        "Total Parameters: 6",
        "first 4",
        "total 4",
        "TRAINING CONFIGURATION",
    ]
    saved = lines.index("Saved checkpoint: checkpoints/epoch_2.safetensors")
    assert saved > lines.index("Epoch 2/200")
    assert not any("epoch_1.safetensors" in line for line in lines)
