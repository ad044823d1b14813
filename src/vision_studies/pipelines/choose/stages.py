"""The runs of `choose`: every candidate with every seed, and what is measured, computed and averaged for them."""

import json
import logging
from collections.abc import Collection, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vision_studies.errors import BackboneError, ParameterError
from vision_studies.files import write_json
from vision_studies.pipelines.choose.budget import (
    LEAST_HEAD,
    SPEED_FILE,
    Clock,
    Speed,
    Workload,
    feature_seconds,
    head_seconds,
    millions,
    read_speed,
    seconds_of,
)
from vision_studies.pipelines.choose.candidates import (
    AVERAGE,
    CLASSIFIER,
    COLOUR_BINS,
    COLOURS,
    EVALUATION,
    Part,
    Sized,
    Step,
    features_title,
    in_order,
    steps,
    variant_name,
)
from vision_studies.pipelines.choose.division import described
from vision_studies.pipelines.choose.features import (
    KnownBackbone,
    features_file,
    features_folder,
    known_backbone,
    write_features,
)
from vision_studies.pipelines.choose.settings import ChooseSettings
from vision_studies.studies.method import Context, check_images
from vision_studies.studies.runs import Run
from vision_studies.studies.stages import Alone, Artifact, Artifacts, Known, Later, Stage, Steps

if TYPE_CHECKING:
    from vision_studies.outcomes import Outcome

logger = logging.getLogger(__name__)

MEASURING, FEATURES, AVERAGES = "speed", "features", "averages"
Choosing = Context[ChooseSettings]

_AVERAGE_SECONDS = 5.0
_TELLING = 1.0  # millions of a run: what a smaller one takes says little of a larger one


def check(context: Choosing) -> None:
    """Whether there is something to choose among, and time for it.

    Raises:
        DataError: there are fewer than two classes, or a class has too few images to be divided.
        ParameterError: a backbone is not known, or the budget is too small for anything.
    """
    check_images(context.images)
    described(context.images, context.settings)
    _require_unseen(context)
    _require_families(context.settings)
    steps_and_seconds = ordered_steps(context, Speed({}, _operations(context.settings)))
    least = _AVERAGE_SECONDS + min(seconds for _, seconds in steps_and_seconds)
    if context.settings.seconds < least:
        raise ParameterError(
            f"choose.budget={context.settings.budget} is too little for any candidate: {_rounded(least)} is the least."
        )


def stages(context: Choosing, _known: Known) -> Steps:
    """Measuring how fast features come, then what promises most for its time, step by step, as long as it ends in time."""
    check(context)
    _warn_of_missing_weights(context.settings, backbones(context.settings))
    wanted = _parts(context)
    yield Artifacts(MEASURING, "measure", [_speed_artifact(context, wanted)] if wanted else [])
    clock = Clock(context.settings.seconds - _AVERAGE_SECONDS, 0.0 if context.fresh else spent_seconds(context))
    yield Artifacts(FEATURES, "compute", [])
    left_out = 0
    for step, _ in ordered_steps(context, _speed(context)):
        runs, missing, seconds, without = _that_end_in_time(context, step, clock)
        left_out += without
        if not runs:
            continue
        are_there = (yield from _features(context, step)) if missing else True
        are_scored = yield Stage(EVALUATION, runs, Alone(partial(score, context=context, clock=clock)), verb="try")
        ended = bool(are_there and are_scored)
        clock.planned += 0.0 if ended else seconds
        if ended and missing:
            _tell(context)
    if left_out and not clock.planned:  # which a forecast alone has
        _tell_left_out(context, left_out)
    if context.settings.average:
        yield from _averages(context)


def _require_unseen(context: Choosing) -> None:
    """Refuse a network that was trained on the study's own images: it has seen the answers. Raises ParameterError, and as
    `backbones`.
    """
    from vision_studies.serving.trained_backbones import trained_on

    own = context.images.image_set.name
    for name in backbones(context.settings):
        if trained_on(name) == own:
            raise ParameterError(
                f"choose.backbones has '{name}', which was trained on '{own}' as well: what it says of these images it has "
                "learnt from their labels; name a network that was trained on others."
            )


def _require_families(settings: ChooseSettings) -> None:
    """Refuse names that no family has. Raises ParameterError."""
    from vision_studies.classifiers.registry import FAMILIES
    from vision_studies.errors import guess

    for parameter in ("families", "long_tail_families"):
        for name in getattr(settings, parameter):
            if name not in FAMILIES:
                raise ParameterError(
                    f"choose.{parameter} has '{name}', which is no classifier.{guess(name, list(FAMILIES))} There are "
                    f"{', '.join(FAMILIES)}."
                )


def _warn_of_missing_weights(settings: ChooseSettings, there: Collection[str]) -> None:
    gone = [name for name in settings.backbones if name not in there]
    if gone:
        logger.warning(
            "the weights of %s are not here, so that nothing is tried with them: what pretraining would give is lost",
            ", ".join(gone),
        )


def most_runs(settings: ChooseSettings) -> int:
    """How many candidates with seeds there are at most, counted without data; averages are one more a seed."""
    families = {*settings.families, *settings.long_tail_families}
    names = dict.fromkeys(settings.backbones, Sized(1.0, settings.pixels))
    every = steps(names, _unweighted, tuple(families), join=settings.join)
    return len(settings.seeds) * (sum(len(step.families) for step in every) + settings.average)


def study_runs(context: Choosing) -> list[Run]:
    """Every candidate that has begun with every seed, in the order of their steps, and averages of those that have ended."""
    every = [run for step in _all_steps(context) for run in step_runs(context, step)]
    begun = [run for run in every if context.runs.status(run, EVALUATION) is not None]
    return [*begun, *(average_runs(context) if context.settings.average else ())]


def step_runs(context: Choosing, step: Step) -> list[Run]:
    """The runs of a step: every family with every seed."""
    division = described(context.images, context.settings)
    return [
        context.run(
            variant_name(step.parts, family),
            seed,
            {
                "kind": CLASSIFIER,
                "features": [part.configuration for part in step.parts],
                **({"roots": True} if context.settings.roots else {}),
                "family": family,
                **division,
            },
        )
        for seed in context.settings.seeds
        for family in step.families
    ]


def average_runs(context: Choosing) -> list[Run]:
    """For every seed, the average of the candidates that have ended with it, where they are two at least."""
    runs = []
    division = described(context.images, context.settings)
    for seed in context.settings.seeds:
        members = [
            run
            for step in _all_steps(context)
            for run in step_runs(context, step)
            if run.seed == seed and _is_member(run) and context.runs.is_complete(run, EVALUATION)
        ]
        if len(members) > 1:
            names = sorted(run.fingerprint for run in members)
            runs.append(context.run("average of the best", seed, {"kind": AVERAGE, "members": names, **division}))
    return runs


def is_baseline(_: str, configuration: Mapping[str, Any]) -> bool:
    """Whether a candidate is what others are to beat: what needs no network."""
    return configuration.get("features.0.source", _first_source(configuration)) == COLOURS


def beside(condition: str | None) -> str:
    """What candidates share that stand beside each other: the folds that they are tested with, or the test split."""
    return "" if condition is None else f"cross-validated in {condition}"


def _first_source(configuration: Mapping[str, Any]) -> str | None:
    features = configuration.get("features")
    return features[0]["source"] if isinstance(features, list) and features else None


def _is_member(run: Run) -> bool:
    return run.configuration["kind"] == CLASSIFIER and run.configuration["family"] != "majority"


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
    return steps(sized, partial(_part, settings), families(context), join=settings.join)


def families(context: Choosing) -> list[str]:
    """Classifiers that are tried on these images: those of a long tail where there is one."""
    import numpy as np

    settings, data = context.settings, context.images
    counts = np.bincount(data.image_set.labels[data.splits.train], minlength=data.num_classes)
    uneven = counts.max() >= settings.uneven_from * max(1, counts.min())
    more = [name for name in settings.long_tail_families if uneven and name not in settings.families]
    return [*settings.families, *more]


def _part(settings: ChooseSettings, source: str, pixels: int) -> Part:
    return Part(source, pixels, settings.mirror, known_backbone(source).weights)


def _unweighted(source: str, pixels: int) -> Part:
    return Part(source, pixels, False, "")


def _parts(context: Choosing) -> list[Part]:
    """Every part that is asked for, colours excepted."""
    return [*dict.fromkeys(part for step in _all_steps(context) for part in step.parts if part.source != COLOURS)]


def ordered_steps(context: Choosing, speed: Speed) -> list[tuple[Step, float]]:
    """What is tried, in order, each with the seconds that it is expected to take where nothing has been done yet."""
    work = _workload(context)
    return in_order(_all_steps(context), lambda step, there: seconds_of(step, there, speed, work))


def _workload(context: Choosing) -> Workload:
    division = described(context.images, context.settings)
    fits = max(1, division["folds"]) * (division["inner_folds"] + 1)
    widths = {name: known.backbone.width for name, known in backbones(context.settings).items()}
    number = len(context.images.image_set.labels)
    return Workload(number, number, fits, widths | {COLOURS: COLOUR_BINS})


def _that_end_in_time(context: Choosing, step: Step, clock: Clock) -> tuple[list[Run], int, float, int]:
    """Runs of a step that have ended or will end in time, the quickest families first; how many of them have not ended, the
    seconds that these take, and how many families are left out.
    """
    speed, work, images = _speed(context), _workload(context), context.images.image_set
    there = [part for part in step.parts if features_file(context.runs, images, part).exists()]
    seconds, missing, without = feature_seconds(step, there, speed, work), 0, 0
    of_family: dict[str, list[Run]] = {}
    for run in step_runs(context, step):
        of_family.setdefault(run.configuration["family"], []).append(run)
    chosen: list[Run] = []
    for family in sorted(of_family, key=lambda name: head_seconds(step, name, speed, work)):
        own = of_family[family]
        lacking = [run for run in own if context.fresh or not context.runs.is_finished(run, EVALUATION)]
        more = len(lacking) * head_seconds(step, family, speed, work)
        if lacking and not clock.allows(seconds + more):
            without += 1
            continue
        chosen += own
        seconds, missing = seconds + more, missing + len(lacking)
    return chosen, missing, seconds if missing else 0.0, without


def _measured_heads(context: Choosing) -> dict[str, float]:
    """Family -> seconds for a million images times features times fits, of the largest run of it that has ended."""
    work = _workload(context)
    found: dict[str, tuple[float, float]] = {}
    for step in _all_steps(context):
        size = millions(step.parts, work)
        for run in step_runs(context, step):
            result = context.runs.result(run, EVALUATION)
            if result is not None and "other_metrics" in result["metrics"]:
                family, own = run.configuration["family"], float(result["metrics"]["other_metrics"]["own_seconds"])
                found[family] = max(found.get(family, (0.0, 0.0)), (size, max(0.0, own - LEAST_HEAD) / size))
    return {family: seconds for family, (size, seconds) in found.items() if size >= _TELLING and seconds > 0}


def _speed(context: Choosing) -> Speed:
    return read_speed(
        features_folder(context.runs) / SPEED_FILE, _operations(context.settings), _measured_heads(context)
    )


def _speed_artifact(context: Choosing, parts: Collection[Part]) -> Artifact:
    from vision_studies.pipelines.choose.budget import measure_speed

    file = features_folder(context.runs) / SPEED_FILE
    return Artifact(
        name="seconds an image",
        file=file,
        make=partial(measure_speed, context.images, parts, file),
        lock=file.with_name(f".{SPEED_FILE}.lock"),
        needs=(),
        waits="",
        new="not measured yet on this machine",
        remove=file,
    )


def _features(context: Choosing, step: Step) -> Steps:  # a generator of items, as `stages` is
    """Features that a step lacks; gives whether they are there then."""
    artifacts = []
    for part in step.parts:
        file = features_file(context.runs, context.images.image_set, part)
        if part.source == COLOURS or file.exists():
            continue
        artifacts.append(
            Artifact(
                name=features_title([part]),
                file=file,
                make=partial(write_features, context.runs, context.images.image_set, part),
                lock=file.with_name(f".{file.stem}.lock"),
                needs=(),
                waits="",
                new="not computed yet",
                remove=file,
            )
        )
    return (yield Artifacts(FEATURES, "compute", artifacts))


def _averages(context: Choosing) -> Steps:
    runs = average_runs(context)
    if runs:
        yield Stage(EVALUATION, runs, Alone(partial(score, context=context)), verb="try")
    else:
        number = len(context.settings.seeds)
        yield Later(AVERAGES, number, "what is averaged is known when the other candidates have ended")


def spent_seconds(context: Choosing) -> float:
    """Seconds that earlier commands have worked on candidates."""
    try:
        return float(json.loads(_spent_file(context).read_text(encoding="utf-8"))["seconds"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0.0


def _spent_file(context: Choosing) -> Path:
    return features_folder(context.runs) / "spent.json"


def score(run: Run, folder: Path, *, context: Choosing, clock: Clock | None = None) -> "Outcome":
    """Try a candidate, see `work.try_candidate`, and note what has been used of the budget by then."""
    from vision_studies.pipelines.choose.work import try_candidate

    outcome = try_candidate(run, folder, context.images, context.runs)
    if clock is not None:
        write_json(_spent_file(context), {"seconds": clock.used})
    return outcome


def best_run(context: Choosing) -> tuple[Run, dict[str, Any]] | None:
    """The complete run that is best by validation, and what it has measured; None where there is none."""
    runs = study_runs(context)
    found = [(run, context.runs.metrics(run, EVALUATION)) for run in runs if context.runs.is_complete(run, EVALUATION)]
    return max(found, key=lambda each: each[1]["validation_accuracy"], default=None)


def _tell(context: Choosing) -> None:
    """Say what would be taken if nothing more were tried."""
    best = best_run(context)
    if best is not None:
        run, metrics = best
        accuracy, images = metrics["test_accuracy"], len(context.images.image_set.labels)
        low, high = _interval(context, run, accuracy, images)
        logger.info(
            "so far, take %s: %.1f %% right (%.1f to %.1f)",
            run.variant,
            *(100 * value for value in (accuracy, low, high)),
        )


def _interval(context: Choosing, run: Run, accuracy: float, images: int) -> tuple[float, float]:
    from vision_studies.statistics.verdict import wilson
    from vision_studies.stored_predictions import Unavailable

    said = context.runs.predictions(run)
    return wilson(accuracy, images if isinstance(said, Unavailable) else len(said.indices), 0.95)


def _tell_left_out(context: Choosing, number: int) -> None:
    settings = context.settings
    logger.info(
        "%d candidate%s would not end within %s and %s left out; a larger budget goes on",
        number,
        "s" * (number > 1),
        settings.budget,
        "were" if number > 1 else "was",
    )


def _rounded(seconds: float) -> str:
    """Seconds as a budget is written, rounded up."""
    return f"{int(-(-seconds // 1))}s"


def step_at_work(context: Choosing) -> Run | None:
    """A run of the step that comes next; None where all have ended."""
    for step, _ in ordered_steps(context, _speed(context)):
        for run in step_runs(context, step):
            if not context.runs.is_finished(run, EVALUATION):
                return run
    return None
