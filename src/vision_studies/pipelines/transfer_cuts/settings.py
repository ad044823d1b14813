"""Parameters of the `transfer_cuts` pipeline, and of the networks that `clustering` looks into."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_serializer, model_validator

from vision_studies.config.pretrained import PretrainedSettings
from vision_studies.config.training import AdamWSettings, EnsembleSettings, Precision, StackSettings
from vision_studies.models.architectures.convnet import ConvNetSettings
from vision_studies.pipelines.transfer_cuts.backbone_settings import BackboneNetSettings
from vision_studies.settings_base import Settings, refuse_repeated, without_defaults

Mode = Literal["freeze_reinit", "freeze", "reinit", "fine_tune", "freeze_truncate"]
"""What is done at a cut before convolution k.

freeze_reinit: layers before the cut are kept as they are, those after it start anew. freeze: those after it start as they
were. reinit: as freeze_reinit, but all layers learn. fine_tune: all layers start as they were and learn. freeze_truncate: there
are no layers after the cut.
"""

BASELINE, BASELINE_CUT = "baseline", -1
"""Mode and cut of networks that are trained from nothing."""

Names = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=1)]

_MODE_LABELS = {
    "freeze_reinit": "FR",
    "freeze": "F",
    "reinit": "R",
    "fine_tune": "fine-tune all",
    "freeze_truncate": "FT",
}


def mode_label(mode: str) -> str:
    """The short label of a mode; the name of one that has none."""
    return _MODE_LABELS.get(mode, mode)


def cut_label(cut: int) -> str:
    """A cut as tables and axes call it."""
    return BASELINE if cut == BASELINE_CUT else str(cut)


def percentage(fraction: float) -> str:
    """A fraction of the images as percent, without needless decimals."""
    return f"{100 * fraction:g} %"


class ClassSettings(Settings):
    """Which classes are learnt first, and which are the new ones."""

    label: str = Field(
        pattern=r"^\w[\w-]*$", description="of this division, in the names of files in the original's layout"
    )
    pretraining: Names = Field(description="names of classes, or patterns such as mnist/*")
    fine_tuning: Names = Field(description="likewise")


class SubsetSettings(Settings):
    """How many images of the new classes there are, and how often they are drawn."""

    fraction: float = Field(gt=0, le=1, description="share of the training images of the new classes")
    repeats: int = Field(ge=1, description="draws, each with a first network of its own")


class PretrainingSettings(Settings):
    """How networks learn the first classes."""

    weights_files: Annotated[tuple[str, ...], Field(min_length=1)] | None = Field(
        description="files of networks that have learnt the first classes, such as the published project's .pth, in the place "
        "of a training; repeat r starts from file r modulo their number. null: networks are trained"
    )
    seeds: tuple[int, ...] = Field(
        min_length=1, description="a network each; repeat r starts from network r modulo their number"
    )
    optimizer: AdamWSettings = Field(description="how weights are updated")
    training: EnsembleSettings = Field(description="length, batches, early stopping")

    @property
    def networks(self) -> int:
        """How many networks there are to start from."""
        return len(self.seeds if self.weights_files is None else self.weights_files)


class FineTuningSettings(Settings):
    """How networks learn the new classes."""

    optimizer: AdamWSettings = Field(description="how weights are updated")
    training: EnsembleSettings = Field(description="length, batches, early stopping; the same for every fraction")
    validation: Literal["counted", "whole"] = Field(
        description="counted: validation images are part of the fraction; whole: all validation images, whatever the fraction"
    )
    validation_share: float = Field(
        gt=0, le=0.5, description="part of the fraction that validates, where it is counted"
    )


CutNetSettings = Annotated[ConvNetSettings | BackboneNetSettings, Field(discriminator="name")]
"""The network that is cut."""


class CutSettings(Settings):
    """A network before fine-tuning, in terms that make equal networks equal.

    The first `frozen` convolutions do not learn; the first `transferred` have pretrained weights; those from `kept` on are
    left out.
    """

    frozen: int = Field(ge=0, description="convolutions that stay as they were")
    transferred: int = Field(ge=0, description="convolutions that start as they were")
    kept: int = Field(ge=0, description="convolutions that there are")
    new_dense: Literal["last", "all"] = Field(
        description="which of two dense layers start anew; all where there is one"
    )


class CutRunSettings(Settings):
    """All that decides the numbers of one fine-tuning, besides its repeat and its data."""

    network: CutNetSettings = Field(description="the whole network, before it is cut")
    cut: CutSettings = Field(description="what is kept of it")
    pretrained: str | None = Field(description="fingerprint of the pretraining; null where nothing of it is used")
    classes: tuple[str, ...] = Field(description="the new classes")
    fraction: float = Field(gt=0, le=1, description="share of the training images of the new classes")
    fine_tuning: FineTuningSettings = Field(description="how it is trained")
    protocol: Literal["published"] | None = Field(description="set where the published project's protocol is followed")
    balanced: bool = Field(default=True, description="as many images of each class")

    @model_serializer(mode="wrap")
    def _as_before(self, write: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        return without_defaults(self, write(self), "balanced")


class PretrainingRunSettings(Settings):
    """All that decides the numbers of one pretraining, besides its seed and its data."""

    network: ConvNetSettings = Field(description="the network")
    classes: tuple[str, ...] = Field(description="what it learns to tell apart")
    optimizer: AdamWSettings = Field(description="how weights are updated")
    training: EnsembleSettings = Field(description="how it is trained")
    protocol: Literal["published"] | None = Field(description="set where the published project's protocol is followed")


class ImportedRunSettings(Settings):
    """A network that has learnt the first classes elsewhere, or a pretrained one with a classifier of them, and that is scored
    here; its seed is its place in the list.
    """

    network: CutNetSettings = Field(description="the network")
    classes: tuple[str, ...] = Field(description="what it tells apart")
    weights_hash: str = Field(description="SHA-256 of its file")
    precision: Precision
    protocol: Literal["published"] | None = Field(description="set where the published project's protocol is followed")

    @property
    def training(self) -> "ImportedRunSettings":
        """What says the number format, as the training of another network does."""
        return self


Pretraining = PretrainingRunSettings | ImportedRunSettings
"""A network that has learnt the first classes."""


def read_pretraining(configuration: Mapping[str, Any]) -> Pretraining:
    """A pretraining's settings from its stored configuration."""
    model = ImportedRunSettings if "weights_hash" in configuration else PretrainingRunSettings
    return model.model_validate(configuration)


class CutStackSettings(StackSettings):
    """How networks share a stack, and what is kept of the layers before a cut."""

    features_mb: int = Field(
        ge=0, description="memory for what the layers before a cut give, in millions of bytes; beyond it, computed anew"
    )
    images_at_once: int = Field(ge=1, description="images of all networks of a stack that are computed at a time")


class TransferCutsSettings(Settings):
    """Which layers of a network serve classes that it has never seen, and with how many images of these."""

    protocol: Literal["corrected", "published"] = Field(
        description="published: tests on the whole training split, validation of 10 % of the images by the original's draw; "
        "corrected: the splits of data_prep, test images touched once"
    )
    classes: ClassSettings = Field(description="first and new classes")
    network: ConvNetSettings = Field(description="the network that is cut")
    pretrained: PretrainedSettings | None = Field(
        default=None,
        description="a pretrained network that is cut between its blocks, in the place of `network` and its pretraining; null: "
        "`network` learns the first classes",
    )
    modes: tuple[Mode, ...] = Field(min_length=1, description="what is done at a cut")
    cuts: tuple[Annotated[int, Field(ge=0)], ...] | None = Field(
        description="convolutions before the cut; null for all"
    )
    reinit_both_dense: bool = Field(description="of two dense layers, start both anew instead of the last alone")
    subsets: tuple[SubsetSettings, ...] = Field(min_length=1, description="how many images, how often")
    balanced: bool = Field(
        description="draw as many images of each class; false: any images, so that rare classes stay rare or are missing"
    )
    pretraining: PretrainingSettings = Field(description="how the first classes are learnt")
    fine_tuning: FineTuningSettings = Field(description="how the new classes are learnt")
    stack: CutStackSettings = Field(description="how networks are trained together")
    scores: tuple[str, ...] = Field(
        default=(),
        description="scores of features that tell without training which cut serves best, and how well each ranks the cuts: "
        "linear_probe, nearest_neighbours, logme, leep, nleep, h_score, shrunk_h_score, gbc, transrate; none: []",
    )

    @model_validator(mode="after")
    def _parts_fit(self) -> "TransferCutsSettings":
        refuse_repeated(
            {
                "modes": self.modes,
                "cuts": self.cuts or (),
                "pretraining.seeds": self.pretraining.seeds,
                "pretraining.weights_files": self.pretraining.weights_files or (),
                "subsets": [subset.fraction for subset in self.subsets],
                "scores": self.scores,
            }
        )
        if self.pretrained is not None and self.pretraining.weights_files is not None:
            raise ValueError("pretrained and pretraining.weights_files are both set; set one of them to null")
        outside = [cut for cut in self.cuts or () if cut > self.network.depth]
        if outside and self.pretrained is None:
            raise ValueError(f"cuts has {outside[0]}, but network.channels has {self.network.depth} convolutions")
        if not self.reinit_both_dense and self.pretrained is None and self.network.hidden is not None:
            alike = self.network.head == "global_average" and len(set(self.network.channels)) == 1
            if "freeze_truncate" in self.modes and not alike:
                raise ValueError(
                    "reinit_both_dense: false keeps the first dense layer, which does not fit a truncated network; set "
                    "reinit_both_dense: true, or leave freeze_truncate out of modes"
                )
        if self.protocol == "published" and self.fine_tuning.validation == "counted":
            raise ValueError(
                "protocol: published validates on all validation images; set fine_tuning.validation: whole"
            )
        return self

    @property
    def notice(self) -> str:
        """What figures and tables say where they follow the published protocol."""
        return "protocol: published" if self.protocol == "published" else ""

    @property
    def whole_network(self) -> ConvNetSettings | BackboneNetSettings:
        """The network that is cut. Raises as `backbones.described`."""
        if self.pretrained is None:
            return self.network
        from vision_studies.pipelines.transfer_cuts.backbones import described

        return described(self.pretrained.backbone, self.pretrained.pixels)

    @property
    def networks(self) -> int:
        """How many networks there are to start from."""
        return 1 if self.pretrained is not None else self.pretraining.networks

    @property
    def trains_networks(self) -> bool:
        """Whether the networks that are cut are trained here."""
        return self.pretrained is None and self.pretraining.weights_files is None

    def cut_points(self, mode: Mode) -> tuple[int, ...]:
        """Cuts of a mode; fine-tuning everything is the same at all of them, and stands at 0."""
        if mode == "fine_tune":
            return (0,)
        return self.cuts if self.cuts is not None else tuple(range(self.whole_network.depth + 1))

    def cut(self, mode: str, cut: int) -> CutSettings:
        """What a mode means at a cut; what is the same network comes out the same."""
        depth = self.whole_network.depth
        frozen = 0 if mode in (BASELINE, "reinit", "fine_tune") else cut
        transferred = 0 if mode == BASELINE else depth if mode in ("freeze", "fine_tune") else cut
        kept = cut if mode == "freeze_truncate" else depth
        one_dense = self.pretrained is not None or self.network.hidden is None
        anew = self.reinit_both_dense or one_dense or transferred == 0
        return CutSettings(frozen=frozen, transferred=transferred, kept=kept, new_dense="all" if anew else "last")

    def pretraining_run(self, classes: tuple[str, ...]) -> dict[str, Any]:
        """Configuration of a pretraining, as its run stores it."""
        return PretrainingRunSettings(
            network=self.network,
            classes=classes,
            optimizer=self.pretraining.optimizer,
            training=self.pretraining.training,
            protocol="published" if self.protocol == "published" else None,
        ).model_dump(mode="json")

    def imported_run(self, classes: tuple[str, ...], weights_hash: str) -> dict[str, Any]:
        """Configuration of a network with weights of this SHA-256 from elsewhere, as its run stores it."""
        return ImportedRunSettings(
            network=self.whole_network,
            classes=classes,
            weights_hash=weights_hash,
            precision=self.pretraining.training.precision,
            protocol="published" if self.protocol == "published" else None,
        ).model_dump(mode="json")

    def run(
        self, mode: str, cut: int, fraction: float, classes: tuple[str, ...], pretrained: str | None
    ) -> dict[str, Any]:
        """Configuration of a fine-tuning, as its run stores it."""
        point = self.cut(mode, cut)
        uses = point.transferred > 0 or point.new_dense == "last"
        return CutRunSettings(
            network=self.whole_network,
            cut=point,
            pretrained=pretrained if uses else None,
            classes=classes,
            fraction=fraction,
            fine_tuning=self.fine_tuning,
            protocol="published" if self.protocol == "published" else None,
            balanced=self.balanced,
        ).model_dump(mode="json")
