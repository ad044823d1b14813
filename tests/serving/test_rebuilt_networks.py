"""Networks rebuilt from runs' folders. Those of the demo, of every pipeline, are in test_model_commands.py."""

import json

import numpy as np
import pytest
import torch
from tests.pipelines.stacking.conftest import make_run

from vision_studies.errors import CheckpointError
from vision_studies.pipelines.stacking import cross_validation
from vision_studies.pipelines.stacking import work as stacking
from vision_studies.pipelines.stacking.settings import CombinationRun
from vision_studies.pipelines.stacking.work import Job
from vision_studies.run_folders import write_stage
from vision_studies.studies.method import StoredNetwork, networks_of
from vision_studies.training.checkpoints import save_state

CPU = torch.device("cpu")


def rebuild(description, folder, data, checkpoint=None):
    return networks_of(description["pipeline"]).rebuild(StoredNetwork(folder, description, checkpoint), data)


def described(run, data, seed=0):
    return {
        "pipeline": "stacking",
        "study": "s",
        "configuration": run.model_dump(mode="json"),
        "seed": seed,
        "data_fingerprint": data.fingerprint,
        "method_version": 1,
    }


@pytest.mark.slow
def test_a_stack_by_folds_says_image_by_image_what_its_run_said_of_the_test_split(tmp_path, counting_data):
    data = counting_data
    refit = make_run(mode="cross_validated", base_learners=["small", "wide"], folds={"number": 3, "inference": "refit"})
    cross_validation.train(Job(refit, 0, data, tmp_path, CPU))  # its networks are those of every way of inference
    batch = next(iter(data.loader("test", kind="device", batch_size=1000, device=CPU).epoch(0)))
    for inference in ("refit", "all_folds", "weighted", "best_fold"):
        run = refit.model_copy(update={"inference": inference})
        rebuilt = rebuild(described(run, data), tmp_path, data)
        with torch.inference_mode():
            probabilities = rebuilt.network.eval()(batch.images).softmax(dim=1).numpy()
        expected = cross_validation.outputs_on_test(Job(run, 0, data, tmp_path, CPU))
        np.testing.assert_allclose(probabilities, expected.probabilities, atol=1e-5, err_msg=inference)
        assert rebuilt.images.class_names == data.image_set.class_names


def test_weights_of_another_network_and_a_checkpoint_of_one_are_told(tmp_path, counting_data):
    run = make_run(mode="joint", base_learners=["small", "wide"])
    other = make_run(mode="joint", base_learners=["small", "small"])
    network = stacking.build(other, 0, counting_data)
    save_state(tmp_path / "weights.safetensors", network.state_dict())
    with pytest.raises(CheckpointError, match="holds the weights of another network than StackedClassifier"):
        rebuild(described(run, counting_data), tmp_path, counting_data)
    checkpoint = tmp_path / "epoch_0001.safetensors"
    save_state(checkpoint, {"model": network.state_dict(), "optimizers": []})
    rebuild(described(other, counting_data), tmp_path, counting_data, checkpoint)
    with pytest.raises(CheckpointError, match="is a checkpoint of another network"):
        rebuild(described(run, counting_data), tmp_path, counting_data, checkpoint)


def test_a_combination_whose_members_are_gone_is_told(tmp_path, counting_data):
    joint = make_run(mode="joint", base_learners=["small"])
    shared = joint.model_dump(include={"mock", "loader", "augmentation", "training", "evaluation"})
    member = {**shared, "method": "network", "learner": joint.base_learners[0].model_dump(), "member": 0}
    run = CombinationRun.model_validate(
        {"method": "combination", "mock": False, "rule": "average", "members": [member, {**member, "member": 1}]}
    )
    folder = tmp_path / "average"
    folder.mkdir()
    weights = {"weight_1": 0.5, "weight_2": 0.5}
    write_stage(folder / "training.json", {"other_metrics": weights}, "complete", None, {})
    (folder / "run.json").write_text(json.dumps(described(run, counting_data)))
    assert networks_of("stacking").title(run.model_dump(mode="json")) == "2 × resnet_small together"
    assert networks_of("stacking").unusable(described(run, counting_data)["configuration"], folder) is None
    with pytest.raises(CheckpointError, match="number 1\\) lies no longer beside it; run the study again"):
        rebuild(described(run, counting_data), folder, counting_data)


def test_runs_without_a_network_say_why(tmp_path):
    def why(pipeline, **configuration):
        return networks_of(pipeline).unusable(configuration, tmp_path)

    assert "no selected weights" in why("cifar_resnet")
    assert "no selected weights" in why("alphanet", backbone={})
    assert "no classifier.safetensors" in why("alphanet", classifier={"name": "own"})
    assert "no combinations.safetensors" in why("alphanet", classifier={"name": "own"}, combinations={})
    assert "keep no network" in why("clustering")
    assert "mock trainer" in why("stacking", mock=True, method="network")
