"""What is wrong with a study of `alphanet`, found before anything is trained."""

import numpy as np
from pydantic import ValidationError

from vision_studies.config.validation import describe_errors
from vision_studies.data.class_splits import ClassSplits
from vision_studies.errors import ParameterError
from vision_studies.pipelines.alphanet.plan import Plan, original_data_set
from vision_studies.pipelines.alphanet.settings import AlphanetSettings
from vision_studies.studies.method import Context, check_images


def check_study(context: Context[AlphanetSettings]) -> None:
    """See `check`."""
    check(Plan(context))


def check(plan: Plan) -> None:
    """Check what can be known without features.

    Raises:
        ParameterError: an optimiser, scheduler or activation is unknown, samplers cannot draw, there are fewer base classes
            than neighbours, or validation images are missing.
        DataError: there is no few class, the split files are wrong, or imported files are not described.
        MissingDependencyError: logs for TensorBoard are wanted where it is not installed.
    """
    from vision_studies.pipelines.alphanet.work.event_logs import require_tensorboard
    from vision_studies.pipelines.alphanet.work.training import check_settings

    settings = plan.settings
    check_settings(settings.network, settings.training)
    if settings.tensorboard:
        require_tensorboard()
    if settings.pretrained is not None:
        from vision_studies.serving.trained_backbones import require_unseen

        require_unseen(settings.pretrained.backbone, plan.prepared().image_set.name, "alphanet.pretrained.backbone")
    if settings.imported is None:
        validated = settings.validation == "carved"
        for repeat in range(settings.repeats if settings.tails == "each_repeat" else 1):
            data = plan.prepared(repeat)
            check_images(data)
            trained = data.splits.train if validated else np.concatenate([data.splits.train, data.splits.validation])
            _check_classes(settings, plan.class_splits(repeat), data.image_set.labels[trained], validated=validated)
        return
    if settings.validation == "none":
        raise ParameterError(
            "alphanet.validation is none, but imported validation features cannot be trained on; set it to carved, and leave "
            "'val' out of datagrps in datasets.toml where there is to be no validation."
        )
    original_data_set(settings.imported)


def check_features(plan: Plan) -> None:
    """Check what only imported features tell.

    Raises:
        ParameterError: there are fewer base classes than neighbours, samplers cannot draw, or validation images are missing.
        DataError: a sampler's split has no class, or classifier and features do not fit.
    """
    from vision_studies.pipelines.alphanet.work.experiments import check_fit

    if plan.settings.imported is not None:
        source = plan.source(0)
        features, groups = source.features, source.features.groups
        check_fit(features, source.experts[0])
        _check_classes(plan.settings, features.splits, groups["train"].labels, validated="validation" in groups)


def _check_classes(settings: AlphanetSettings, splits: ClassSplits, labels: np.ndarray, *, validated: bool) -> None:
    """Try what depends on the training images of each class."""
    from vision_studies.pipelines.alphanet.work.neighbours import few_neighbours
    from vision_studies.pipelines.alphanet.work.samplers import ClassIndex, draw_epoch

    few_neighbours(np.zeros((splits.num_classes, 1)), splits, max(settings.neighbours), "euclidean")
    index = ClassIndex(labels, splits)
    for rho in settings.rhos:
        try:
            samplers = settings.experiment(settings.neighbours[0], settings.distances[0], rho).training.samplers
        except ValidationError as error:
            reason = describe_errors(error, AlphanetSettings, settings.model_dump())
            raise ParameterError(f"alphanet.rhos has {rho:g}: {reason}") from error
        if not len(draw_epoch(samplers, index, np.random.default_rng(0))):
            raise ParameterError(
                f"alphanet.training.samplers draw no image with rho {rho:g}; raise it, or add the sampler all_few."
            )
    for classifier in settings.classifiers:
        if len(getattr(classifier.method, "values", ())) > 1 and not validated:
            raise ParameterError(
                f"alphanet.classifiers: one of the values of '{classifier.label}' is chosen by validation images, of which "
                "there are none; give it a single value."
            )
