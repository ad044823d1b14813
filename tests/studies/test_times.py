import json
from functools import partial
from itertools import count
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from vision_studies.config.study import ExecutionSettings
from vision_studies.costs import Cost, Measured, costs_nothing, costs_unknown
from vision_studies.errors import DataError
from vision_studies.outcomes import Outcome
from vision_studies.pipelines.clustering.costs import _operations
from vision_studies.pipelines.clustering.settings import MethodSettings
from vision_studies.studies.execution import execute
from vision_studies.studies.forecast import StageForecast, Unknown
from vision_studies.studies.planned_times import PlannedTimes
from vision_studies.studies.run_store import RunStore
from vision_studies.studies.runs import Run
from vision_studies.studies.stages import Alone, Stage
from vision_studies.studies.study_clock import StudyClock
from vision_studies.studies.times import Speeds, measure

HERE = ExecutionSettings.model_construct(backend="sequential", workers=1)


@pytest.fixture
def speeds(tmp_path):
    return Speeds(tmp_path / "speeds.json")


def training(width, units=100.0, *, seconds=(0.1, 0.1), calls=None, least=None):
    def do():
        if calls is not None:
            calls.append(width)
        return Measured(seconds, disk=5e6)

    return Cost("train", {"width": width}, units, lambda: 1e6 * width, do, least)


def measured(speeds, *pieces, busy=0.0, **options):
    speeds.busy = None  # as when a command begins, which looks once
    measure(pieces, speeds, watch=lambda: busy, **options)


def test_what_was_measured_is_told_with_its_spread_and_kept(speeds):
    cost = training(8, seconds=(0.1, 0.12))
    measured(speeds, [cost])
    for known in (speeds, Speeds.of_file(speeds.file)):
        told = known.estimate([cost])
        assert told.seconds == pytest.approx(11)
        assert told.low < 10
        assert 12 < told.high < 1.5 * told.seconds
        assert (told.disk, told.is_rough) == (5e6, False)
        assert told.memory > 1e6


def test_what_is_known_is_not_measured_again_unless_the_machine_was_busy(speeds):
    calls = []
    cost = training(8, calls=calls)
    measured(speeds, [cost], busy=0.9)
    wide = speeds.estimate([cost])
    measured(speeds, [cost], busy=0.9)
    assert calls == [8]  # it is no quieter now
    measured(speeds, [cost])
    measured(speeds, [cost])
    assert calls == [8, 8]
    narrow = speeds.estimate([cost])
    assert narrow.high - narrow.low < (wide.high - wide.low) / 2


def test_operations_of_a_shape_are_counted_once_however_many_runs_have_it(speeds):
    counted = []

    def cost(width):
        return Cost("train", {"width": width}, 100, lambda: counted.append(width) or 1e6, lambda: Measured((0.1,)))

    for _ in range(3):
        speeds.estimate([cost(8), cost(4)])
    measured(speeds, [cost(8)], [cost(4)])
    assert counted == [8, 4]


def test_what_takes_longest_is_measured_first_and_the_rest_told_by_its_operations(speeds):
    calls, now = [], iter(range(0, 1000, 10))
    large, small = training(16, calls=calls), training(4, calls=calls)
    measured(speeds, [small], [large], seconds=15, clock=lambda: next(now))
    assert calls == [16]
    told = speeds.estimate([small])
    assert told.seconds == pytest.approx(100 * 0.1 * 4 / 16)
    assert told.high / told.low > 2


def test_without_any_measurement_a_plan_is_rough_and_says_so(speeds):
    told = speeds.estimate([training(8)])
    assert told.is_rough
    assert told.high / told.low >= 10


def test_earlier_work_of_the_same_shape_is_believed_before_a_few_steps(speeds):
    cost = training(8)
    measured(speeds, [cost])
    speeds.note([cost], 30.0)
    assert speeds.estimate([training(8, units=200)]).seconds == pytest.approx(60)
    # Of work that is ten times as long it says too little: what comes once would count ten times.
    assert speeds.estimate([training(8, units=1000)]).seconds == pytest.approx(100)
    calls = []
    measured(speeds, [training(8, calls=calls)])
    assert not calls


def test_work_that_may_end_early_has_a_low_end(speeds):
    cost = training(8, least=10.0)
    measured(speeds, [cost])
    told = speeds.estimate([cost])
    assert told.low < 0.1 * told.seconds * 1.01
    assert told.seconds == pytest.approx(10)


def test_what_cannot_be_measured_or_told_is_said(speeds, caplog):
    def fail():
        raise DataError("out of luck")

    broken = Cost("train", {}, 10, lambda: 1e6, fail)
    measured(speeds, [broken], costs_unknown("they are not there yet"), costs_nothing())
    assert "out of luck" in caplog.text
    assert speeds.estimate([broken]).is_rough
    assert speeds.estimate(costs_unknown("they are not there yet")).unknown == ("they are not there yet",)
    assert speeds.estimate(costs_nothing()).seconds == 0


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"measured": 3, "done": {}}'])
def test_a_damaged_file_knows_nothing(tmp_path, content):
    file = tmp_path / "speeds.json"
    file.write_text(content)
    assert Speeds.of_file(file).measured == {}


def test_times_stand_beside_the_processor_and_the_versions_that_they_are_of(tmp_path):
    first, second = (Speeds.of_this_machine(tmp_path, [workers]) for workers in (1, 2))
    assert first.file != second.file
    measured(first, [training(8)])
    assert {"processor", "versions"} <= json.loads(first.file.read_text()).keys()


def test_times_are_stage_by_stage_and_short_studies_are_not_measured_before_they_run(speeds):
    calls, now = [], [0.0]
    forecasts = [
        StageForecast("toy", "training", "train", work=(lambda: [training(8, 1e3)],) * 3),
        StageForecast("toy", "search", "train", unknown=(Unknown(2, "drawn"),), work=(lambda: [training(8, 2e3)],)),
    ]
    times = PlannedTimes(forecasts, speeds)

    def note(pieces, found, *, seconds):
        """A shape that takes four seconds to measure."""
        calls.append((len(pieces), seconds))
        found.measured[f"another {len(calls)}"] = {}
        now[0] += 4

    times.measure_if_worth_it(by=note)  # 1 s of operations
    assert not calls
    measured(speeds, [training(8)])
    assert [stage.seconds for stage in times.stages] == pytest.approx([300, 200])
    times.measure_if_worth_it(by=note, clock=lambda: now[0])
    assert times.whole.low == pytest.approx(425)
    assert (
        calls == [(4, pytest.approx(0.1))] * 2
    )  # a fiftieth of these is 8.5 s: of a third there would be half a second
    times.measure_if_worth_it(by=lambda *_, seconds: calls.append(seconds), clock=lambda: now[0])
    assert len(calls) == 3  # where nothing is left to be measured it ends


def test_a_study_that_turns_out_to_be_short_is_measured_no_further(speeds):
    calls = []
    shapes = [training(width, 1e5, seconds=(1e-6, 1e-6), calls=calls) for width in (8, 16)]
    times = PlannedTimes([StageForecast("toy", "training", "train", work=(lambda: shapes,))], speeds)
    assert times.whole.low > 100  # by numbers of operations
    times.measure_if_worth_it(by=partial(measure, watch=lambda: 0.0, clock=count(0, 0.06).__next__))
    assert calls == [16]
    assert times.whole.seconds < 1


def test_how_fast_networks_learn_is_told_from_others_that_learn_in_another_way(speeds):
    alone, together = (
        training(8, 1e3),
        Cost("train as one", {"width": 8}, 1e3, lambda: 1e6, lambda: Measured((1.0, 1.0))),
    )
    before = speeds.estimate([together])
    measured(speeds, [alone])
    after = speeds.estimate([together])
    assert after.seconds == pytest.approx(1e6 * speeds.estimate([alone]).seconds / alone.operations())
    assert before.is_rough
    assert after.is_rough


def test_the_pace_of_all_that_was_done_counts_and_first_seconds_count_little(speeds):
    study = StudyClock(speeds, {("toy", "search"): 10.0, ("toy", "training"): 990.0})
    assert study.pace(0.0, 0.0) == 1
    assert study.pace(10.0, 30.0) == pytest.approx(130 / 110)  # as if a tenth of all had gone as planned
    study.took(10.0, 30.0)
    study.took(0.0, 30.0)  # of what was not planned nothing is said
    assert study.pace(500.0, 100.0) == pytest.approx(230 / 610)
    assert study.pace(900.0, 1.0) == 0.25
    assert study.later("toy", "search", 0.5) == 495
    assert StudyClock(speeds).pace(0.0, 5.0) == 1


@pytest.mark.parametrize(
    ("method", "least", "most"),
    [
        ({"name": "agglomerative", "linkage": "average", "metric": "cosine", "max_samples": None}, 1e2, 1e4),
        ({"name": "kmeans_vectors", "restarts": 10, "max_samples": None, "seed": 1}, 1e5, 1e7),
        ({"name": "kmeans_channels", "restarts": 10, "pca": None, "max_samples": 500, "seed": 1}, 1e7, 1e9),
    ],
)
def test_clustering_is_taken_for_seconds_before_it_was_measured(method, least, most):
    assert least < _operations(TypeAdapter(MethodSettings).validate_python(method)) < most


def test_a_stage_remembers_how_long_whole_runs_took(tmp_path, speeds):
    runs = [Run("toy", "demo", "plain", 0, seed, {"width": 8}, "data", 1) for seed in range(3)]

    def work(run, _: Path):
        if run.seed == 2:
            raise RuntimeError("out of luck")
        return Outcome({})

    stage = Stage("training", runs, Alone(work), lambda _: [training(8)])
    study = StudyClock(speeds, {("toy", "training"): 30.0})
    execute(stage, RunStore(tmp_path / "runs"), HERE, clock=study.stage("toy", stage))
    [pieces] = Speeds.of_file(speeds.file).done.values()
    assert [units for units, _ in pieces] == [100, 100]  # what has failed tells nothing
    assert study.left[("toy", "training")] < 30
