"""Real processes, really killed."""

import signal
import time

import pandas as pd
import pytest
from tests.conftest import SMALL_NETWORK, without_figures

SETTINGS = "cifar_resnet.run.training.epochs=6,cifar_resnet.run.training.checkpoint_every=1"
COMPARED = ["validation_accuracy", "validation_loss", "test_accuracy", "test_loss", "test_brier", "best_epoch"]


def choose_seeds(project, *seeds):
    (project.folder / "conf/one").mkdir()
    (project.folder / "conf/one/parameters.yml").write_text(
        f"cifar_resnet: {{seeds: {list(seeds)}, run: {{model: {SMALL_NETWORK}}}}}\n", encoding="utf-8"
    )


def results(project):
    return pd.read_parquet(project.folder / "data/07_model_output/demo+one/cifar_resnet/results.parquet")


def histories(project):
    return pd.read_parquet(project.folder / "data/07_model_output/demo+one/cifar_resnet/histories.parquet")


@pytest.mark.slow
def test_a_killed_training_continues_and_ends_with_the_same_bits(project, tmp_path_factory):
    choose_seeds(project, 3)
    training = ("run", "--env=demo+one", "--pipeline=cifar_resnet", without_figures("cifar_resnet"))
    arguments = (*training, f"--params={SETTINGS}")
    project.run("run", "--env=demo+one", "--pipeline=data_prep", f"--params={SETTINGS}")

    checkpoints = project.folder / "data/06_models/demo+one/cifar_resnet/runs"
    process = project.start(*arguments)
    deadline = time.monotonic() + 400  # a busy machine, not a slow training
    while not list(checkpoints.glob("*/checkpoints/epoch_0002*")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not list(checkpoints.glob("*/training.json"))

    continued = project.run(*arguments)
    assert "continuing after epoch" in continued.stdout
    interrupted, history = results(project), histories(project)

    again = project.run(*training, "--params=fresh=true," + SETTINGS)
    assert "continuing" not in again.stdout
    whole = results(project)
    pd.testing.assert_frame_equal(interrupted[COMPARED], whole[COMPARED], check_exact=True)
    columns = ["epoch", "train_loss", "train_accuracy", "validation_loss", "validation_accuracy", "learning_rate"]
    pd.testing.assert_frame_equal(history[columns], histories(project)[columns], check_exact=True)

    reused = project.run(*arguments)
    assert "steps had nothing new to work with, and their results stay" in reused.stdout
    assert results(project)["finished_at"].tolist() == whole["finished_at"].tolist()


@pytest.mark.slow
def test_a_second_command_shares_a_study_one_with_other_parameters_is_refused_and_another_study_goes_on(project):
    choose_seeds(project, 3, 4)
    settings = SETTINGS.replace("6", "3")
    arguments = ("run", "--env=demo+one", "--pipeline=cifar_resnet")
    project.run("run", "--env=demo+one", "--pipeline=data_prep", f"--params={settings}")
    first = project.start(*arguments, f"--params={settings}")
    checkpoints = project.folder / "data/06_models/demo+one/cifar_resnet/runs"
    deadline = time.monotonic() + 200
    while not list(checkpoints.glob("*/checkpoints/epoch_0001*")):
        assert first.poll() is None, first.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    first.send_signal(signal.SIGSTOP)  # it lives and does nothing

    second = project.start(*arguments, f"--params={settings}")
    told = []
    while "run is worked on elsewhere" not in (line := second.stdout.readline()):
        assert line, second.communicate()
        told.append(line)
    assert f"(process {first.pid} on " in line
    assert f"sharing the study 'demo+one' with process {first.pid} on " in "".join(told)
    assert len(list(checkpoints.glob("*/training.json"))) == 1

    refused = project.run(*arguments, succeeds=False)
    assert "The study 'demo+one' is being worked on by process" in refused.stderr
    assert "with another value of cifar_resnet.run.training.checkpoint_every" in refused.stderr
    assert "Traceback" not in refused.stdout + refused.stderr
    other = project.run("run", "--env=demo", "--pipeline=data_prep")
    assert "images: data/03_primary/digits-" in other.stdout  # which are there, as the first one has made them

    first.kill()
    first.communicate()
    rest, errors = second.communicate(timeout=200)
    assert second.returncode == 0, rest + errors
    assert "continuing after epoch" in rest
    assert results(project)[["seed", "status"]].to_numpy().tolist() == [[3, "complete"], [4, "complete"]]
