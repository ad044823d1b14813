"""Parameters of the classifiers on fixed features that long-tailed recognition starts from."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from vision_studies.config.training import OptimisationSettings, SgdSettings
from vision_studies.settings_base import Settings


class OwnSettings(Settings):
    """The classifier that the backbone was trained with."""

    name: Literal["own"] = Field(description="the backbone's own classifier, as it is")


class _BalancedTrainingSettings(OptimisationSettings):
    """Stochastic gradient descent on images of all classes alike, along half a cosine."""

    epochs: int = Field(ge=1, description="times that as many images are drawn as there are training images")
    batch_size: int = Field(ge=1, description="training images a step")
    learning_rate: float = Field(gt=0, description="of the first step; it falls to 0 along half a cosine")
    momentum: float = Field(ge=0, lt=1, description="share of the last update that is kept")
    weight_decay: float = Field(ge=0, description="L2 penalty on all that is learnt")

    @property
    def optimizer(self) -> SgdSettings:
        """What builds the optimiser."""
        return SgdSettings(
            name="sgd",
            learning_rate=self.learning_rate,
            momentum=self.momentum,
            nesterov=False,
            weight_decay=self.weight_decay,
        )


class CrtSettings(_BalancedTrainingSettings):
    """A new classifier, trained on images of all classes alike (cRT, Kang et al. 2020)."""

    name: Literal["crt"] = Field(description="a new classifier, trained with class-balanced sampling")


class LwsSettings(_BalancedTrainingSettings):
    """A learnt factor for each class's scores (LWS, Kang et al. 2020)."""

    name: Literal["lws"] = Field(
        description="the backbone's classifier, each class's scores scaled by a factor learnt with class-balanced sampling"
    )


class TauSettings(Settings):
    """Weights divided by a power of their norm (tau-normalised, Kang et al. 2020)."""

    name: Literal["tau"] = Field(
        description="the backbone's classifier, each class's weights divided by their norm to the power of tau"
    )
    values: tuple[Annotated[float, Field(ge=0)], ...] = Field(
        min_length=1, description="taus of which the best on the validation split is taken; a single one needs none"
    )


class NcmSettings(Settings):
    """The class whose mean feature is nearest (NCM, Kang et al. 2020)."""

    name: Literal["ncm"] = Field(description="nearest class mean")
    metric: Literal["cosine", "euclidean"] = Field(description="what is near")


class MultiExpertSettings(Settings):
    """The mean of several experts' scores (RIDE, Wang et al. 2021)."""

    name: Literal["multi_expert"] = Field(description="mean of the scores of several backbones' classifiers")
    of: Literal["own", "crt"] = Field(description="classifier of each expert: its own, or a new one as crt trains it")
    crt: CrtSettings | None = Field(description="how new classifiers are trained; null where of is own")

    @model_validator(mode="after")
    def _crt_is_there_where_it_is_read(self) -> "MultiExpertSettings":
        if self.of == "crt" and self.crt is None:
            raise ValueError(
                "of=crt needs crt, which says how the experts' classifiers are trained; set it, or of: own"
            )
        if self.of == "own" and self.crt is not None:
            raise ValueError("of=own trains no classifier, so that crt is not read; set crt: null, or of: crt")
        return self


ClassifierSettings = Annotated[
    OwnSettings | CrtSettings | LwsSettings | TauSettings | NcmSettings | MultiExpertSettings,
    Field(discriminator="name"),
]
"""A classifier on fixed features; `name` says which."""
