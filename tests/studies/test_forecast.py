import pandas as pd
import pytest
from filelock import FileLock
from tests.conftest import ROOT
from tests.studies.engine import execute, execute_stacks

from vision_studies.catalog.config_loader import StudyConfigLoader
from vision_studies.config.study import ExecutionSettings
from vision_studies.costs import costs_nothing
from vision_studies.outcomes import DIVERGED, Outcome
from vision_studies.settings import CONFIG_LOADER_ARGS
from vision_studies.studies.forecast import (
    BUSY,
    CONTINUE,
    LATER,
    RETRY,
    REUSE,
    TRAIN,
    Forecaster,
    StageForecast,
    Unknown,
    joined,
)
from vision_studies.studies.run_store import RunStore
from vision_studies.studies.runs import Run
from vision_studies.studies.sharing import is_held
from vision_studies.studies.stages import Alone, Stage
from vision_studies.training.checkpoints import save_state

HERE = ExecutionSettings.model_validate(
    StudyConfigLoader(ROOT / "conf", **CONFIG_LOADER_ARGS)["parameters"]["execution"] | {"device": "cpu"}
)
BASE = {"training": {"epochs": 3, "optimizer": {"name": "sgd", "rate": 0.1, "momentum": 0.9}}, "steps": [1, 2]}


def make_run(seed=0, variant="plain", data="data", version=1, **training):
    configuration = {**BASE, "training": {**BASE["training"], **training}}
    return Run("cifar_resnet", "s", variant, 0, seed, configuration, data, version)


def work(run, _folder):
    return Outcome({"validation_accuracy": 0.5}, history=pd.DataFrame({"epoch": [1]}))


def train(folder, *runs, work=work, stage="training"):
    execute(runs, stage, work, folder, HERE)


def fail(run, folder):
    raise RuntimeError("out of luck")


def forecast(folder, *runs, fresh=False, **options):
    stage = Stage(options.pop("stage", "training"), runs, Alone(work), costs_nothing, **options)
    return Forecaster("cifar_resnet", RunStore(folder), fresh=fresh).stage(stage)


def only(folder, run, **options):
    (decision,) = forecast(folder, run, **options).decisions
    return decision


def told(folder, run, **options):
    decision = only(folder, run, **options)
    return decision.action, decision.reason


def test_what_is_finished_is_reused_since_it_was_finished(tmp_path):
    train(tmp_path, make_run())
    decision = only(tmp_path, make_run())
    assert (decision.action, decision.reason, decision.name) == (REUSE, "finished", "plain, seed 0")
    assert decision.finished_at.startswith("20")
    assert decision.fingerprint == make_run().fingerprint


def test_the_first_runs_of_a_study_were_never_trained(tmp_path):
    assert told(tmp_path / "none", make_run()) == (TRAIN, "never trained")


@pytest.mark.parametrize(
    ("run", "reason", "changes"),
    [
        (make_run(epochs=5), "changed", (("training.epochs", 3, 5),)),
        (make_run(clip=1.0), "changed", (("training.clip", None, 1.0),)),
        # Another optimiser has options of its own: its name says it all.
        (make_run(optimizer={"name": "adam", "rate": 0.2}), "changed", (("training.optimizer.name", "sgd", "adam"),)),
        (make_run(data="other"), "other data", ()),
        (make_run(version=2), "version 2 of the method, was 1", ()),
        (
            make_run(data="other", version=2, epochs=5),
            "other data, version 2 of the method, was 1",
            (("training.epochs", 3, 5),),
        ),
        (make_run(seed=7), "new: seed 7", ()),
        (make_run(variant="wide", epochs=9), "new: no run is called wide yet", ()),
    ],
)
def test_why_a_run_is_new(tmp_path, run, reason, changes):
    train(tmp_path, make_run())
    decision = only(tmp_path, run)
    assert (decision.action, decision.reason, decision.changes) == (TRAIN, reason, changes)


def test_a_run_is_compared_with_the_newest_of_its_name(tmp_path):
    import os

    for age, epochs in ((100, 8), (50, 4), (200, 2)):
        train(tmp_path, make_run(epochs=epochs))
        file = RunStore(tmp_path).path(make_run(epochs=epochs)) / "run.json"
        os.utime(file, (file.stat().st_mtime - age,) * 2)
    assert only(tmp_path, make_run(epochs=5)).changes == (("training.epochs", 4, 5),)


def test_a_run_is_known_by_each_of_its_names(tmp_path):
    train(tmp_path, make_run(variant="cut 0"))
    (decision,) = forecast(
        tmp_path, make_run(variant="cut 0", epochs=5), make_run(variant="baseline", epochs=5)
    ).decisions
    assert decision.changes == (("training.epochs", 3, 5),)


def test_what_failed_is_tried_again(tmp_path):
    train(tmp_path, make_run(), work=fail)
    assert told(tmp_path, make_run()) == (RETRY, "failed: RuntimeError: out of luck")


def test_what_was_interrupted_goes_on_from_its_checkpoint(tmp_path):
    own_folder = RunStore(tmp_path).begin(make_run())
    assert told(tmp_path, make_run()) == (TRAIN, "interrupted, from the beginning: there is no checkpoint yet")
    for epoch in (5, 10):
        save_state(own_folder / f"checkpoints/epoch_{epoch:04d}.safetensors", {"epoch": epoch})
    assert told(tmp_path, make_run()) == (CONTINUE, "interrupted, after epoch 10")


def test_the_parts_of_a_run_have_checkpoints_of_their_own(tmp_path):
    own_folder = RunStore(tmp_path).begin(make_run())
    save_state(own_folder / "fold_0_learner_0/checkpoints/epoch_0010.safetensors", {"epoch": 10})
    assert told(tmp_path, make_run()) == (CONTINUE, "interrupted, from its checkpoints")


def test_a_stack_goes_on_where_all_of_its_runs_are_asked_for(tmp_path):
    def stop(stack, folder, record):
        record(stack[0], work(stack[0], folder))
        save_state(folder / "stack.safetensors", {"fingerprint": "x", "epoch": 7})
        raise KeyboardInterrupt

    runs = [make_run(seed) for seed in range(3)]
    with pytest.raises(KeyboardInterrupt):
        execute_stacks(runs, "training", stop, lambda waiting: [waiting], tmp_path, HERE)
    first, *others = forecast(tmp_path, *runs).decisions
    assert first.action == REUSE
    assert {(own.action, own.reason) for own in others} == {(CONTINUE, "interrupted, after epoch 7, in a stack of 3")}
    assert told(tmp_path, runs[2]) == (TRAIN, "interrupted, from the beginning: there is no checkpoint yet")


def test_what_another_process_works_on_is_left_to_it(tmp_path):
    RunStore(tmp_path).begin(make_run())
    lock = RunStore(tmp_path).lock(make_run())
    assert not is_held(lock)
    with FileLock(lock):
        before = lock.stat().st_mtime_ns
        assert told(tmp_path, make_run()) == (BUSY, "another process works on it now")
        assert lock.stat().st_mtime_ns == before
    assert told(tmp_path, make_run())[0] == TRAIN


def test_a_later_stage_waits_for_the_one_before_it(tmp_path):
    done, failed, diverged, new = (make_run(seed) for seed in range(4))
    train(tmp_path, done)
    train(tmp_path, failed, work=fail)
    train(tmp_path, diverged, work=lambda *_: Outcome({}, DIVERGED, "not finite"))
    found = forecast(tmp_path, done, failed, diverged, new, stage="evaluation", verb="score", after="training")
    assert [(own.name, own.action) for own in found.decisions] == [
        ("plain, seed 0", TRAIN),
        ("plain, seed 1", LATER),
        ("plain, seed 3", LATER),
    ]
    train(tmp_path, done, stage="evaluation")
    assert told(tmp_path, done, stage="evaluation", after="training")[0] == REUSE
    assert told(tmp_path, diverged) == (REUSE, "finished as diverged (not finite)")


def test_fresh_forgets_everything(tmp_path):
    train(tmp_path, make_run())
    train(tmp_path, make_run(), stage="evaluation")
    assert told(tmp_path, make_run(), fresh=True) == (TRAIN, "fresh=true forgets what is finished")
    assert told(tmp_path, make_run(), fresh=True, stage="evaluation", after="training")[0] == LATER


def test_a_forecast_is_what_is_then_done_and_changes_nothing(tmp_path):
    train(tmp_path, make_run(0), make_run(1))
    train(tmp_path, make_run(2), work=fail)
    save_state(RunStore(tmp_path).begin(make_run(3)) / "checkpoints/epoch_0001.safetensors", {"epoch": 1})
    runs = [make_run(seed) for seed in range(5)] + [make_run(0, "same")]
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    decisions = forecast(tmp_path, *runs).decisions
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    assert [own.action for own in decisions] == [REUSE, REUSE, RETRY, CONTINUE, TRAIN]
    worked = []
    train(tmp_path, *runs, work=lambda run, folder: worked.append(run.fingerprint) or work(run, folder))
    assert worked == [own.fingerprint for own in decisions if own.action != REUSE]


def test_parts_of_a_stage_are_joined():
    one, other = (StageForecast("p", "search", "train", (), (Unknown(count, "later"),)) for count in (2, 3))
    assert joined(one, other).unknown == (Unknown(5, "later"),)
