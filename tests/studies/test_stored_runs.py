import json

import pytest
from filelock import FileLock

from vision_studies.errors import DataError, ParameterError
from vision_studies.run_folders import keep_for_good
from vision_studies.studies.stored_runs import find_run, find_runs, label_run, tidy_checkpoints


@pytest.fixture
def models(tmp_path):
    def add(study, fingerprint, variant, seed, *, finished, checkpoints=("epoch_0010", "epoch_0020")):
        folder = tmp_path / study / "cifar_resnet/runs" / fingerprint
        (folder / "checkpoints").mkdir(parents=True)
        description = {"pipeline": "cifar_resnet", "study": study, "variant": variant, "trial": 0, "seed": seed}
        (folder / "run.json").write_text(json.dumps(description))
        for name in [*checkpoints, *(["final"] if finished else [])]:
            (folder / f"checkpoints/{name}.safetensors").write_bytes(b"x")
        if finished:
            stage = {"metrics": {"validation_accuracy": 0.9}, "status": "complete", "reason": None}
            stage["provenance"] = {"finished_at": "2026-01-01T00:00:00+00:00"}
            (folder / "training.json").write_text(json.dumps(stage))
            (folder / "weights.safetensors").write_bytes(b"x")

    add("one", "aaaa1111", "plain", 1, finished=True)
    add("one", "aaaa2222", "plain", 0, finished=False)
    add("two", "bbbb1111", "plain", 0, finished=True)
    return tmp_path


def test_runs_are_found_by_study_variant_and_seed(models):
    assert [run.fingerprint for run in find_runs(models)] == ["aaaa2222", "aaaa1111", "bbbb1111"]
    assert [run.status for run in find_runs(models, "one")] == ["unfinished", "complete"]
    assert find_runs(models, "one")[1].metric("validation_accuracy") == 0.9
    assert find_runs(models, "one")[0].metric("validation_accuracy") is None
    assert find_runs(models, "none") == []


def test_a_run_is_named_by_the_beginning_of_its_fingerprint_or_its_label(models):
    assert find_run(models, "aaaa1").fingerprint == "aaaa1111"
    label_run(models, find_run(models, "aaaa1"), "best so far")
    assert find_run(models, "best so far").fingerprint == "aaaa1111"
    assert find_run(models, "best so far").name == "best so far"
    label_run(models, find_run(models, "aaaa1"), "aaaa")  # a label goes before a fingerprint
    assert find_run(models, "aaaa").fingerprint == "aaaa1111"


@pytest.mark.parametrize(
    ("name", "study", "message"),
    [
        ("aaaa", None, "could be any of one/aaaa2222, one/aaaa1111"),
        ("cccc", None, "No run of any study is called 'cccc'"),
        ("bbbb", "one", "No run of the study 'one' is called 'bbbb'"),
    ],
)
def test_a_name_that_is_not_clear_is_refused(models, name, study, message):
    with pytest.raises(ParameterError, match=message):
        find_run(models, name, study)


def test_two_runs_never_share_a_label(models):
    label_run(models, find_run(models, "aaaa1"), "mine")
    label_run(models, find_run(models, "aaaa1"), "mine")
    with pytest.raises(ParameterError, match="one/aaaa1111 is called 'mine' already"):
        label_run(models, find_run(models, "bbbb"), "mine")
    with pytest.raises(ParameterError, match="at least one character"):
        label_run(models, find_run(models, "bbbb"), " ")
    for label in ("../mine", ".mine", "a\\b", "two\nlines"):
        with pytest.raises(ParameterError, match="could not be the name of a folder"):
            label_run(models, find_run(models, "bbbb"), label)


def test_the_last_checkpoint_of_a_run_is_never_superfluous(models):
    finished, unfinished = find_run(models, "aaaa1"), find_run(models, "aaaa2")
    assert named(finished) == ["epoch_0010", "epoch_0020"]
    assert named(unfinished) == ["epoch_0010"]


def named(run, **options):
    return [path.stem for path in tidy_checkpoints(run, delete=False, **options)]


def test_only_what_is_not_needed_is_deleted_and_only_where_that_is_asked_for(models):
    run = find_run(models, "aaaa1")
    before = set(run.folder.rglob("*"))
    assert tidy_checkpoints(run, delete=False) == {
        run.folder / f"checkpoints/epoch_00{n}0.safetensors": 1 for n in (1, 2)
    }
    assert set(run.folder.rglob("*")) - {run.folder / ".lock"} == before
    gone = tidy_checkpoints(run, delete=True)
    assert before - set(run.folder.rglob("*")) == set(gone)
    assert tidy_checkpoints(run, delete=True) == {}


def test_what_a_training_keeps_for_good_is_needed_until_another_rhythm_is_named(models):
    run = find_run(models, "aaaa1")
    keep_for_good(run.folder / "checkpoints", 20)
    assert named(run) == ["epoch_0010"]
    assert named(run, keep_every=10) == []
    assert named(run, keep_every=0) == ["epoch_0010", "epoch_0020"]
    keep_for_good(run.folder / "checkpoints", None)
    assert named(run) == ["epoch_0010", "epoch_0020"]
    (run.folder / "checkpoints/kept.json").write_text('{"every": "often"}')
    with pytest.raises(DataError, match=r"kept\.json is damaged"):
        named(run)


def test_each_training_of_which_a_run_consists_is_tidied_by_itself(models):
    run = find_run(models, "aaaa1")
    for fold, last in ((0, "final"), (1, "epoch_0012")):
        folder = run.folder / f"fold_{fold}/checkpoints"
        folder.mkdir(parents=True)
        for name in ("epoch_0009", "epoch_0011", last):
            (folder / f"{name}.safetensors").write_bytes(b"x")
    found = {str(path.relative_to(run.folder)) for path in tidy_checkpoints(run, delete=False) if "fold" in str(path)}
    assert found == {
        f"fold_{name}.safetensors"
        for name in (
            "0/checkpoints/epoch_0009",
            "0/checkpoints/epoch_0011",
            "1/checkpoints/epoch_0009",
            "1/checkpoints/epoch_0011",
        )
    }


def test_a_run_that_is_being_worked_on_is_left_alone(models):
    run = find_run(models, "aaaa1")
    with FileLock(run.folder / ".lock"):
        assert tidy_checkpoints(run, delete=True) == {}
    assert len(tidy_checkpoints(run, delete=False)) == 2


def test_a_damaged_file_is_named(models):
    path = models / "one/cifar_resnet/runs/aaaa1111/training.json"
    path.write_text("{")
    with pytest.raises(DataError, match=r"aaaa1111/training\.json is damaged"):
        find_runs(models)
