from types import SimpleNamespace

import pytest

from vision_studies.cli.kedro_commands import with_budget
from vision_studies.config.study import ExecutionSettings
from vision_studies.costs import Cost, Measured, costs_nothing
from vision_studies.errors import ParameterError
from vision_studies.outcomes import Outcome
from vision_studies.studies import execution, study_clock
from vision_studies.studies.execution import execute
from vision_studies.studies.run_store import RunStore
from vision_studies.studies.runs import Run
from vision_studies.studies.stages import Alone, Stage, alike
from vision_studies.studies.study_clock import StudyClock
from vision_studies.studies.times import Speeds

HERE = ExecutionSettings.model_construct(backend="sequential", workers=1)
SECONDS = 10.0  # that a run takes
RUNS = [
    Run("toy", "demo", variant, 0, seed, {"width": width}, "data", 1)
    for width, variant in enumerate(("plain", "wide"), start=1)
    for seed in (0, 1, 2)
]


@pytest.fixture
def study(tmp_path, monkeypatch):
    """A study whose runs take their time by a clock that only they move, and what has been done of it."""
    now = SimpleNamespace(seconds=1000.0, done=[])
    clock = SimpleNamespace(time=lambda: now.seconds, monotonic=lambda: now.seconds)
    monkeypatch.setattr(execution, "time", clock)
    monkeypatch.setattr(study_clock, "time", clock)

    def train(run, _folder):
        now.seconds += SECONDS
        now.done.append((run.variant, run.seed))
        return Outcome({})

    def cost(runs):
        return [Cost("train", {}, len(runs), lambda: 1.0, lambda: Measured((SECONDS,)))]

    def score(run, _folder):
        now.done.append(("scored", run.variant, run.seed))
        return Outcome({})

    def do(budget, group=None):
        speeds = Speeds(tmp_path / "speeds.json")
        speeds.note(cost(RUNS[:1]), SECONDS)
        left = {("toy", "training"): SECONDS * len(RUNS)}
        watch = StudyClock(speeds, left)
        watch.begin(budget, tmp_path / "budget.json", SECONDS)
        training = Stage("training", RUNS, Alone(train), cost, group)
        scoring = Stage("evaluation", RUNS, Alone(score), costs_nothing, after="training")
        for stage in (training, scoring):
            execute(stage, RunStore(tmp_path / "runs"), HERE, clock=watch.stage("toy", stage))
        watch.end()
        return watch.without.get("toy", [])

    return SimpleNamespace(do=do, now=now)


def by_variant(runs):
    return alike(runs, lambda run: run.configuration["width"])


@pytest.mark.parametrize("group", [None, by_variant], ids=["alone", "as one"])
def test_every_variant_comes_with_its_first_seed_before_any_has_its_second(study, group):
    without = study.do(45.0, group)
    trained = [own for own in study.now.done if own[0] != "scored"]
    assert trained == [("plain", 0), ("wide", 0), ("plain", 1), ("wide", 1)]
    assert sorted(without) == ["plain, seed 2", "wide, seed 2"]
    assert sum(own[0] == "scored" for own in study.now.done) == 4  # what was trained says something


def test_a_larger_budget_goes_on_and_the_same_is_used_up(study, caplog):
    study.do(45.0)
    assert len(study.do(45.0)) == 2
    assert "is used up" in caplog.text
    assert len(study.do(57.0)) == 1  # 40 of which were used
    assert study.do(100.0) == []


def test_a_budget_for_less_than_a_run_says_the_least(study):
    with pytest.raises(ParameterError, match=r"execution\.budget=9s is too little.* 10s is the least"):
        study.do(9.0)
    assert study.now.done == []


def test_what_others_build_on_has_to_fit(study, tmp_path):
    speeds = Speeds(tmp_path / "other.json")
    watch = StudyClock(speeds, {("toy", "pretraining"): 60.0})
    watch.begin(25.0, tmp_path / "spent.json", 10.0)
    required = ("pretraining", "toy.learning_rate")

    def train(run, _folder):
        study.now.seconds += SECONDS
        return Outcome({})

    def cost(runs):
        return [Cost("train", {}, len(runs), lambda: 5e9 * SECONDS, lambda: Measured((SECONDS,)))]

    stage = Stage("pretraining", RUNS[:3], Alone(train), cost, required=required)
    with pytest.raises(ParameterError, match=r"used up before each pretraining .*is the least"):
        execute(stage, RunStore(tmp_path / "others"), HERE, clock=watch.stage("toy", stage))


def test_the_option_is_of_all_pipelines_and_refuses_what_is_no_time():
    own = {"execution": {"workers": 2, "budget": "2h"}}
    assert with_budget({"execution": {"workers": 2}}, "2h", None) == own | {"choose": {"budget": "2h"}}
    assert with_budget({"execution": {"workers": 2}}, "2h", ["stacking"]) == own
    with pytest.raises(ParameterError, match=r"--budget: 'soon' is no length of time; write 90s, 10m or 1h"):
        with_budget({}, "soon", None)


def test_a_parameter_that_is_no_time_is_refused():
    with pytest.raises(ValueError, match="no length of time"):
        ExecutionSettings.model_validate(
            {"backend": "sequential", "workers": 1, "scheduler_address": None, "resources": {}, "processes_per_run": 1}
            | {"device": "cpu", "budget": "2 weeks"}
        )
