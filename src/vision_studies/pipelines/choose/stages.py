"""The runs of `choose`: every candidate with every seed, and what is measured, computed and averaged for them."""

import logging
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vision_studies.config.fine_tuning import FineTuning, FromNothing
from vision_studies.costs import Cost, Costs, Measured, costs_nothing
from vision_studies.errors import BackboneError, ParameterError, guess
from vision_studies.files import write_json
from vision_studies.outcomes import FAILED, PRUNED, Outcome
from vision_studies.pipelines.choose.budget import (
    LEAST_HEAD,
    SPEED_FILE,
    Clock,
    Hopeless,
    OutOfTime,
    Speed,
    Workload,
    feature_seconds,
    head_seconds,
    measure_speed,
    millions,
    read_pace,
    read_seconds,
    read_speed,
    seconds_an_image,
    seconds_of,
    training_seconds,
)
from vision_studies.pipelines.choose.candidates import (
    AVERAGE,
    CLASSIFIER,
    COLOUR_BINS,
    COLOURS,
    COMBINED,
    EVALUATION,
    FROM_NOTHING,
    STACK,
    TUNED,
    Part,
    Sized,
    Step,
    features_title,
    in_order,
    merit,
    network_name,
    steps,
    variant_name,
)
from vision_studies.pipelines.choose.division import described
from vision_studies.pipelines.choose.features import (
    KnownBackbone,
    features_file,
    features_folder,
    features_seconds,
    known_backbone,
    write_features,
)
from vision_studies.pipelines.choose.settings import ChooseSettings
from vision_studies.pipelines.choose.work import try_candidate
from vision_studies.run_folders import PACE_FILE
from vision_studies.stored_predictions import Unavailable
from vision_studies.studies.method import Context, check_images
from vision_studies.studies.runs import Run
from vision_studies.studies.stages import Alone, Artifact, Artifacts, Known, Later, Stage, Steps

if TYPE_CHECKING:
    from vision_studies.studies.run_store import RunStore
    from vision_studies.studies.stages import Record

logger = logging.getLogger(__name__)

MEASURING, FEATURES, AVERAGES = "speed", "features", "averages"
OUT_OF_TIME = "stopped as the budget has ended; a larger one goes on"
Choosing = Context[ChooseSettings]

_COMBINING = {AVERAGE: 1.0, STACK: 3.0}  # seconds
_LEAST_COMBINING, _MOST_COMBINING = 5.0, 0.1  # seconds, and share of the budget, that are kept for them
_TELLING = 1.0  # millions of a run: what a smaller one takes says little of a larger one


def check(context: Choosing) -> None:
    """Whether there is something to choose among, and time for it.

    Raises:
        DataError: there are fewer than two classes, or a class has too few images to be divided.
        ParameterError: a backbone is not known, or the budget is too small for anything.
    """
    from vision_studies.serving.trained_backbones import require_unseen

    check_images(context.images)
    described(context.images, context.settings)
    for name in backbones(context.settings):
        require_unseen(name, context.images.image_set.name, "choose.backbones")
    _require_families(context.settings)
    steps_and_seconds = ordered_steps(context, Speed({}, _operations(context.settings)))
    least = _combining_seconds(context.settings) + min(seconds for _, seconds in steps_and_seconds)
    if context.settings.seconds < least:
        raise ParameterError(
            f"choose.budget={context.settings.budget} is too little for any candidate: {math.ceil(least)}s is the least."
        )


def stages(context: Choosing, _known: Known) -> Steps:
    """Measuring how fast features come, then what promises most for its time, step by step, as long as it ends in time."""
    check(context)
    if gone := [name for name in context.settings.backbones if name not in backbones(context.settings)]:
        logger.warning(
            "the weights of %s are not here, so that nothing is tried with them: what pretraining would give is lost",
            ", ".join(gone),
        )
    wanted = _parts(context)
    yield Artifacts(MEASURING, "measure", [_speed_artifact(context, wanted)] if wanted else [])
    budget = context.settings.seconds - _combining_seconds(context.settings)
    clock = Clock(budget, 0.0 if context.fresh else spent_seconds(context))
    yield Artifacts(FEATURES, "compute", [])
    # Where there is time for none.
    yield Stage(EVALUATION, [], Alone(partial(score, context=context)), costs_nothing, verb="try")
    left_out, planned = dict.fromkeys(context.settings.seeds, 0), set[Part]()
    for seed, step in _turns(context):
        runs, each, seconds, without = _that_end_in_time(context, step, seed, clock, planned)
        left_out[seed] += without
        if not runs:
            continue
        missing = bool(each)
        work = partial(score_in_time, context=context, clock=clock, seconds=each)
        are_there = (yield from _features(context, step, clock, planned)) if missing else True
        are_scored = yield Stage(EVALUATION, runs, work, partial(_trying_costs, context, step), verb="try")
        ended = bool(are_there and are_scored)
        if not ended:
            clock.planned += seconds
            planned.update(step.features)
        if ended and missing:
            _tell(context)
    if not clock.planned:  # which a forecast alone has
        _tell_left_out(context, left_out)
    yield from _combinations(context)


def _require_families(settings: ChooseSettings) -> None:
    """Refuse names that no family has. Raises ParameterError."""
    from vision_studies.classifiers.registry import FAMILIES

    for parameter in ("families", "long_tail_families"):
        for name in getattr(settings, parameter):
            if name not in FAMILIES:
                raise ParameterError(
                    f"choose.{parameter} has '{name}', which is no classifier.{guess(name, list(FAMILIES))} There are "
                    f"{', '.join(FAMILIES)}."
                )


def most_runs(settings: ChooseSettings) -> int:
    """How many candidates with seeds there are at most, counted without data, averages and stacks among them."""
    families = {*settings.families, *settings.long_tail_families}
    names = dict.fromkeys(settings.backbones, Sized(1.0, settings.pixels))
    recipes = settings.recipes(max(settings.pixels))
    unweighted = partial(Part, mirror=False, weights="")
    every = steps(names, unweighted, tuple(families), join=settings.join, recipes=recipes)
    seeds, combined = len(settings.seeds), settings.average + settings.stack
    of_one = combined * (seeds > 1)
    return seeds * (sum(len(step.families) or 1 for step in every) + combined) + of_one


def study_runs(context: Choosing) -> list[Run]:
    """Every candidate that has begun with every seed, in the order of their steps, averages and stacks of those that have
    ended; one
    that has been stopped as the budget ended is as if it had not begun.
    """
    results = [(run, context.runs.result(run, EVALUATION)) for _, run in _all_runs(context)]
    begun = [run for run, result in results if result is not None and result["reason"] != OUT_OF_TIME]
    return [*begun, *combined_runs(context)]


def step_runs(
    context: Choosing, step: Step, common: Mapping[str, Any] | None = None, *, seeds: Collection[int] | None = None
) -> list[Run]:
    """The runs of a step: every family, or the one network, with every seed, or with these alone; `common` is what all runs
    have in their configuration.
    """
    common = _common(context) if common is None else common
    features = {"features": [part.configuration for part in step.parts]}
    roots = {"roots": True} if context.settings.roots else {}
    if step.recipe is None:
        candidates: list[tuple[str, dict[str, Any]]] = [
            (variant_name(step.parts, family), {"kind": CLASSIFIER, **features, **roots, "family": family})
            for family in step.families
        ]
    else:
        own = {"kind": FROM_NOTHING, "features": [], "mirror": context.settings.mirror}
        own = own if isinstance(step.recipe, FromNothing) else {"kind": TUNED, **features}
        candidates = [(network_name(step.parts, step.recipe), {**own, "recipe": asdict(step.recipe)})]
    return [
        context.run(name, seed, {**configuration, **common})
        for seed in (context.settings.seeds if seeds is None else seeds)
        for name, configuration in candidates
    ]


def combined_runs(context: Choosing) -> list[Run]:
    """Averages and stacks, with every seed with which at least half as many candidates have ended as with any: of those that
    have ended with all of these seeds, which then tell of the same. Where more have ended with one of them, such as networks
    that are trained, there is one besides of all that have with this seed.
    """
    ended: dict[int, dict[str, str]] = {seed: {} for seed in context.settings.seeds}
    for _, run in _all_runs(context):
        if run.configuration.get("family") != "majority" and context.runs.is_complete(run, EVALUATION):
            ended[run.seed][run.variant] = run.fingerprint
    most = max(ended, key=lambda seed: len(ended[seed]))
    seeds = [seed for seed, own in ended.items() if 2 * len(own) >= len(ended[most])]
    shared = set.intersection(*(set(ended[seed]) for seed in seeds))
    common, of_one = _common(context), {"of_seed": most}
    members = [("the best", seed, {name: ended[seed][name] for name in shared}, common) for seed in seeds]
    if len(shared) < len(ended[most]):
        members.append((f"the best of seed {most}", most, ended[most], {**common, **of_one}))
    return [
        context.run(f"{kind} of {title}", seed, {"kind": kind, "members": sorted(own.values()), **others})
        for kind in _combined_kinds(context.settings)
        for title, seed, own, others in members
        if len(own) > 1
    ]


def _combined_kinds(settings: ChooseSettings) -> list[str]:
    return [kind for kind, wanted in ((AVERAGE, settings.average), (STACK, settings.stack)) if wanted]


def _combining_seconds(settings: ChooseSettings) -> float:
    """What is kept of the budget for averages and stacks."""
    number = len(settings.seeds) + (len(settings.seeds) > 1)
    seconds = number * sum(_COMBINING[kind] for kind in _combined_kinds(settings))
    return max(_LEAST_COMBINING, min(seconds, _MOST_COMBINING * settings.seconds))


def _common(context: Choosing) -> dict[str, Any]:
    """What all runs have in their configuration."""
    metric = {} if context.settings.metric == "accuracy" else {"metric": context.settings.metric}
    return {**described(context.images, context.settings), **metric}


def is_baseline(_: str, configuration: Mapping[str, Any]) -> bool:
    """Whether a candidate is what others are to beat: what needs no network; the configuration may be flat."""
    features = configuration.get("features") or [{"source": configuration.get("features.0.source")}]
    return isinstance(features, list) and features[0]["source"] == COLOURS


def is_of_one_seed(configuration: Mapping[str, Any]) -> bool:
    """Whether a run is of all that has ended with its seed, so that there is none of other seeds."""
    return "of_seed" in configuration


def beside(condition: str | None) -> str:
    """What candidates share that stand beside each other: the folds that they are tested with, or the test split."""
    return "" if condition is None else f"cross-validated in {condition}"


def backbones(settings: ChooseSettings) -> "dict[str, KnownBackbone]":
    """The backbones that are named, less those of packages that are not installed.

    Raises:
        ParameterError: a name is not known, or the weights that it asks for are not here.
        MissingDependencyError: timm is asked for and not installed.
    """
    from vision_studies.models.backbones import BACKBONES, available_backbones

    there = available_backbones()
    try:
        return {name: known_backbone(name) for name in settings.backbones if name in there or name not in BACKBONES}
    except BackboneError as error:
        raise ParameterError(f"choose.backbones: {error}") from error


def _operations(settings: ChooseSettings) -> dict[str, float]:
    """Name of each backbone -> operations for an image of 224 pixels."""
    return {name: known.operations for name, known in backbones(settings).items()}


def _all_steps(context: Choosing) -> list[Step]:
    settings = context.settings
    sized = {name: Sized(known.operations, known.sides(settings.pixels)) for name, known in backbones(settings).items()}
    recipes = settings.recipes(context.images.image_size)
    return steps(sized, partial(_part, settings), families(context), join=settings.join, recipes=recipes)


def _all_runs(context: Choosing) -> list[tuple[Step, Run]]:
    """Every candidate with every seed, and the step that it belongs to."""
    common = _common(context)
    return [(step, run) for step in _all_steps(context) for run in step_runs(context, step, common)]


def families(context: Choosing) -> list[str]:
    """Classifiers that are tried on these images: those of a long tail where there is one."""
    settings, data = context.settings, context.images
    counts = np.bincount(data.image_set.labels[data.splits.train], minlength=data.num_classes)
    uneven = counts.max() >= settings.uneven_from * max(1, counts.min())
    more = [name for name in settings.long_tail_families if uneven and name not in settings.families]
    return [*settings.families, *more]


def _part(settings: ChooseSettings, source: str, pixels: int) -> Part:
    return Part(source, pixels, settings.mirror, known_backbone(source).weights)


def _parts(context: Choosing) -> list[Part]:
    """Every part that is asked for, colours excepted."""
    return [*dict.fromkeys(part for step in _all_steps(context) for part in step.parts if part.source != COLOURS)]


def ordered_steps(context: Choosing, speed: Speed) -> list[tuple[Step, float]]:
    """What is tried, in order, each with the seconds that it is expected to take where nothing has been done yet."""
    work = _workload(context)
    return in_order(_all_steps(context), lambda step, there: seconds_of(step, there, speed, work))


def _turns(context: Choosing) -> Iterator[tuple[int, Step]]:
    """What is tried, in order, with each seed in turn; the order is looked up again for each, as features are there then.

    Further seeds of the quick classifiers say how sure the choice is, and take seconds: networks that are trained come behind
    them, with perceptrons. One that is fine-tuned comes before, right behind the first seed: what promises most for its time of
    those that promise more than any classifier of features, and take no more than half of the budget.
    """
    first, *further = context.settings.seeds
    yield from ((first, step) for step, _ in ordered_steps(context, _speed(context)) if not step.is_dear)
    ordered = ordered_steps(context, _speed(context))
    most = max(step.promise for step, _ in ordered if step.recipe is None)
    soon = [step for step, seconds in ordered if 2 * seconds <= context.settings.seconds]
    early = next((step for step in soon if isinstance(step.recipe, FineTuning) and step.promise > most), None)
    if early is not None:
        yield first, early
    for is_dear, seeds in ((False, further), (True, context.settings.seeds)):
        for seed in seeds:
            for step, _ in ordered_steps(context, _speed(context)):
                if step.is_dear == is_dear and (seed, step) != (first, early):
                    yield seed, step


def _workload(context: Choosing) -> Workload:
    division = described(context.images, context.settings)
    widths = {name: known.backbone.width for name, known in backbones(context.settings).items()}
    number = len(context.images.image_set.labels)
    return Workload(number, number, division["folds"], division["inner_folds"], widths | {COLOURS: COLOUR_BINS})


def _that_end_in_time(
    context: Choosing, step: Step, seed: int, clock: Clock, planned: Collection[Part]
) -> tuple[list[Run], dict[str, float], float, int]:
    """Runs of a step with a seed that have ended or will end in time, the quickest first; the seconds of those that have not
    ended, by fingerprint; what these take with their features, of which `planned` ones are there by then; and how many
    candidates are left out.
    """
    speed, work, images = _speed(context), _workload(context), context.images.image_set
    there = [part for part in step.features if part in planned or features_file(context.runs, images, part).exists()]
    in_all, without = feature_seconds(step, there, speed, work), 0
    chosen: list[Run] = []
    seconds: dict[str, float] = {}
    for more, run in sorted(
        ((_run_seconds(context, step, run, speed, work), run) for run in step_runs(context, step, seeds=[seed])),
        key=lambda each: each[0],
    ):
        is_lacking = context.fresh or not context.runs.is_finished(run, EVALUATION)
        if is_lacking and not clock.allows(in_all + more):
            without += 1
            continue
        chosen.append(run)
        if is_lacking:
            in_all, seconds[run.fingerprint] = in_all + more, more
    return chosen, seconds, in_all if seconds else 0.0, without


def _run_seconds(context: Choosing, step: Step, run: Run, speed: Speed, work: Workload) -> float:
    """Seconds of a run when its features are there; of one that has been stopped, those that were left."""
    if step.recipe is None:
        return head_seconds(step, run.configuration["family"], speed, work)
    pace = None if context.fresh else read_pace(context.runs.path(run, PACE_FILE))
    return training_seconds(step, speed, work) if pace is None else pace["left"]


def _measured_heads(runs: Sequence[tuple[Step, Run]], work: Workload, store: "RunStore") -> dict[str, float]:
    """Family -> seconds for a million images times features times fits, of the largest run of it that has ended."""
    found: dict[str, tuple[float, float]] = {}
    for step, run in runs:
        result = None if step.recipe is not None else store.result(run, EVALUATION)
        if result is not None and "other_metrics" in result["metrics"]:
            size, family = millions(step.parts, work), run.configuration["family"]
            own = float(result["metrics"]["other_metrics"]["own_seconds"])
            found[family] = max(found.get(family, (0.0, 0.0)), (size, max(0.0, own - LEAST_HEAD) / size))
    return {family: seconds for family, (size, seconds) in found.items() if size >= _TELLING and seconds > 0}


def _measured_trainings(
    runs: Sequence[tuple[Step, Run]], work: Workload, speed: Speed, store: "RunStore"
) -> dict[str, float]:
    """Kind -> how many times as long as foreseen its trainings take, of those that have begun; the median."""
    found = dict[str, list[float]]()
    for step, run in runs:
        pace = None if step.recipe is None else read_pace(store.path(run, PACE_FILE))
        if pace is not None:
            ratio = pace["total"] / training_seconds(step, speed, work)
            found.setdefault(run.configuration["kind"], []).append(ratio)
    return {kind: sorted(ratios)[len(ratios) // 2] for kind, ratios in found.items()}


def _speed(context: Choosing) -> Speed:
    """What has been measured at first, and what has been measured since."""
    first = read_speed(features_folder(context.runs) / SPEED_FILE)
    runs, work = _all_runs(context), _workload(context)
    speed = Speed(first, _operations(context.settings), _measured_heads(runs, work, context.runs))
    taken = foreseen = 0.0
    for part in _parts(context):
        seconds = features_seconds(context.runs, context.images.image_set, part)
        if first and seconds:
            taken, foreseen = taken + seconds, foreseen + speed.of_image(part) * len(context.images.image_set.labels)
    slower = taken / foreseen if foreseen else 1.0
    speed = replace(speed, slower=max(1.0, slower))
    return replace(speed, trained=_measured_trainings(runs, work, speed, context.runs))


def _speed_artifact(context: Choosing, parts: Collection[Part]) -> Artifact:
    file = features_folder(context.runs) / SPEED_FILE
    make, new = partial(measure_speed, context.images, parts, file), "not measured yet on this machine"
    return _artifact("seconds an image", file, make, costs_nothing, new)


def _artifact(name: str, file: Path, make: Callable[[], None], cost: Callable[[], Costs], new: str) -> Artifact:
    """A file that needs no run."""
    lock = file.with_name(f".{file.name}.lock")
    return Artifact(name, file, make, cost, lock, needs=(), waits="", new=new, remove=file)


def _features(
    context: Choosing, step: Step, clock: Clock, planned: Collection[Part]
) -> Steps:  # a generator of items, as `stages` is
    """Features that a step lacks, `planned` ones excepted; gives whether they are there then."""
    artifacts = []
    for part in step.features:
        file = features_file(context.runs, context.images.image_set, part)
        if part.source == COLOURS or part in planned or file.exists():
            continue
        make, cost = partial(_write_features, context, part, clock), partial(_feature_costs, context, part)
        artifacts.append(_artifact(features_title([part]), file, make, cost, "not computed yet"))
    return (yield Artifacts(FEATURES, "compute", artifacts))


def _write_features(context: Choosing, part: Part, clock: Clock) -> None:
    """Raises OutOfTime as `write_features`."""
    try:
        write_features(context.runs, context.images.image_set, part, clock)
    except OutOfTime:
        _note_spent(context, clock)
        raise


def _feature_costs(context: Choosing, part: Part) -> Costs:
    """Images through a backbone, with what `measure_speed` has found where it has."""
    images, known = len(context.images.image_set.labels), _speed(context)
    shape = {"backbone": part.configuration}

    def measure() -> Measured:
        from vision_studies.serving.trained_backbones import open_any_backbone

        told = known.seconds.get(f"{part.source}@{part.pixels}")
        if told is None:
            told = seconds_an_image(context.images, part, open_any_backbone(part.source))
        return Measured((told,))

    return [Cost("features", shape, images, lambda: 6e9 * known.of_image(part), measure)]


def _trying_costs(context: Choosing, step: Step, runs: Sequence[Run]) -> Costs:
    """A candidate, as the budget is divided by it."""
    seconds = _run_seconds(context, step, runs[0], _speed(context), _workload(context))
    shape = {"try": runs[0].configuration_hash, "seconds": round(seconds, 3)}
    return [Cost("try", shape, 1, lambda: 6e9 * seconds, lambda: Measured((seconds,)))]


def _combinations(context: Choosing) -> Steps:
    runs, number = combined_runs(context), len(context.settings.seeds) * len(_combined_kinds(context.settings))
    if runs:
        yield Stage(EVALUATION, runs, Alone(partial(score, context=context)), costs_nothing, verb="try")
    elif number:
        reason = "what is averaged is known when the other candidates have ended"
        yield Later(AVERAGES, number, reason, costs_nothing)


def spent_seconds(context: Choosing) -> float:
    """Seconds that earlier commands have worked on candidates."""
    return read_seconds(_spent_file(context))


def _spent_file(context: Choosing) -> Path:
    return features_folder(context.runs) / "spent.json"


def _note_spent(context: Choosing, clock: Clock) -> None:
    write_json(_spent_file(context), {"seconds": clock.used})


def score(run: Run, folder: Path, *, context: Choosing, clock: Clock | None = None) -> Outcome:
    """Try a candidate, see `work.try_candidate`, and note what has been used of the budget by then."""
    try:
        return try_candidate(run, folder, context.images, context.runs, clock, rival_of(context, run))
    finally:
        if clock is not None:
            _note_spent(context, clock)


def rival_of(context: Choosing, run: Run) -> Run | None:
    """The run that a network has to come near to while it is trained: the one with its folds that is best by validation. None
    of what is there to be compared with, whatever it gives: a classifier of features, and a network from random weights with
    light augmentation.
    """
    if run.configuration["kind"] == CLASSIFIER or run.configuration["kind"] in COMBINED:
        return None
    if run.configuration["kind"] == FROM_NOTHING and not run.configuration["recipe"]["heavy"]:
        return None
    beside = [other for _, other in _all_runs(context) if other.seed == run.seed]
    there = [other for other in beside if context.runs.is_complete(other, EVALUATION)]
    return max(there, key=lambda other: merit(context.runs.metrics(other, EVALUATION)), default=None)


def score_in_time(
    runs: Sequence[Run],
    _: Path,
    record: "Record",
    *,
    context: Choosing,
    clock: Clock,
    seconds: Mapping[str, float],
) -> None:
    """Try candidates; one that would not end in time any more is not begun, and one that has begun is stopped. The next command
    goes on with them.

    Args:
        seconds: fingerprint of a run -> how long it is taken to last.
    """
    for run in runs:
        try:
            if not clock.allows(needed := seconds.get(run.fingerprint, 0.0)):
                raise OutOfTime(needed)
            outcome = score(run, context.runs.path(run), context=context, clock=clock)
        except OutOfTime as stopped:
            logger.info("%s is left: %s", run.variant, stopped)
            outcome = Outcome({}, FAILED, OUT_OF_TIME)
        except Hopeless as stopped:
            logger.info("%s is %s", run.variant, stopped)
            outcome = Outcome({}, PRUNED, str(stopped))
        record(run, outcome)


def best_run(context: Choosing) -> tuple[Run, dict[str, Any]] | None:
    """The complete run that is best by validation, and what it has measured; None where there is none."""
    runs = study_runs(context)
    found = [(run, context.runs.metrics(run, EVALUATION)) for run in runs if context.runs.is_complete(run, EVALUATION)]
    return max(found, key=lambda each: merit(each[1]), default=None)


def _tell(context: Choosing) -> None:
    """Say what would be taken if nothing more were tried."""
    best = best_run(context)
    if best is not None:
        run, metrics = best
        accuracy, images = metrics["test_accuracy"], len(context.images.image_set.labels)
        low, high = _interval(context, run, accuracy, images)
        logger.info(
            "so far, take %s: %.1f %% right (95 %% interval %.1f to %.1f)",
            run.variant,
            *(100 * value for value in (accuracy, low, high)),
        )


def _interval(context: Choosing, run: Run, accuracy: float, images: int) -> tuple[float, float]:
    from vision_studies.statistics.verdict import wilson

    said = context.runs.predictions(run)
    return wilson(accuracy, images if isinstance(said, Unavailable) else len(said.indices), 0.95)


def _tell_left_out(context: Choosing, numbers: Mapping[int, int]) -> None:
    first, *others = numbers.values()
    for number, what in ((first, "candidate"), (sum(others) - first * len(others), "run with further seeds of folds")):
        if number > 0:
            logger.info(
                "%d %s would not end within %s and %s left out; a larger budget goes on",
                number,
                what if number == 1 else what.replace(what.split()[0], f"{what.split()[0]}s", 1),
                context.settings.budget,
                "were" if number > 1 else "was",
            )


def step_at_work(context: Choosing) -> Run | None:
    """A run of the step that comes next; None where all have ended."""
    turns = (run for seed, step in _turns(context) for run in step_runs(context, step, seeds=[seed]))
    return next((run for run in turns if not context.runs.is_finished(run, EVALUATION)), None)
