"""Parameters of the `data_prep` pipeline."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, SerializerFunctionWrapHandler, Tag, model_serializer, model_validator

from vision_studies.files import hash_json
from vision_studies.project_folders import in_project, project_folder
from vision_studies.settings_base import Settings, without_defaults

NAMED_SOURCES = ("digits", "cifar10", "cifar100", "mnist", "fashion_mnist")
_BEFORE = {
    "layout": "auto",
    "columns": dict.fromkeys(("image", "label", "split", "group")),
    "configuration": None,
    "resize": "crop",
    "background": "white",
}
"""What settings would have said before there were any."""

_SQUARE_BEFORE = {**_BEFORE, "resize": "squash"}
"""The same of images that need no way to become square, however it is set unless someone sets it: they keep their key."""

_MOST_JOINED_LETTERS = 100  # of the names in a key: a folder's name ends at 255 bytes, however many sources there are

SourceName = Annotated[str, Field(min_length=1)]
"""One of `NAMED_SOURCES`, or the path of a folder."""


def _kind(value: Any) -> str | None:
    if isinstance(value, list | tuple):
        return "list"
    return "one" if isinstance(value, str) else None


SourceSettings = Annotated[
    Annotated[SourceName, Tag("one")] | Annotated[tuple[SourceName, ...], Field(min_length=1), Tag("list")],
    # A union without tags would report one mistake for every member.
    Discriminator(
        _kind,
        custom_error_type="source_type",
        custom_error_message="the name or the folder of a source, or a list of these",
    ),
]
"""A source, or sources whose images become one set."""


class LongTailSettings(Settings):
    """How many images of each class are kept: the larger its label, the fewer; or the other way round, or as it is drawn."""

    profile: Literal["exponential", "step"] = Field(
        description="exponential: from class to class fewer by the same factor; step: the first half of the classes keeps as "
        "many as the largest, the others the fewest",
    )
    factor: float = Field(gt=1, description="images of the largest class for each image of the smallest, e.g. 100")
    seed: int = Field(ge=0, description="which images of a class are kept")
    reverse: bool = Field(description="the last class keeps most, and the first fewest")
    ranks: Literal["by_label", "drawn"] = Field(
        default="by_label",
        description="which class is how rare. by_label: in the order of the labels; drawn: by the seed",
    )

    @model_validator(mode="after")
    def _drawn_ranks_have_no_order(self) -> "LongTailSettings":
        if self.reverse and self.ranks == "drawn":
            raise ValueError(
                "reverse turns the order of the labels, and ranks=drawn has none; set one of them otherwise"
            )
        return self

    @model_serializer(mode="wrap")
    def _write(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return without_defaults(self, write(self), "ranks")


class FoldSettings(Settings):
    """When cross-validation takes the place of one test split."""

    when: Literal["auto", "always", "never"] = Field(
        description="auto: where the source has no test split of its own, and the one that is carved would be smaller than is "
        "said below; always: whenever the source has none; never: one test split, however small",
    )
    number: int = Field(
        ge=3, le=20, description="folds: every image is tested once, by networks that were trained without its fold"
    )
    test_images: int = Field(ge=0, description="auto: with fewer test images than this")
    test_images_of_a_class: int = Field(ge=0, description="auto: or with fewer test images of some class")


FOLDS = FoldSettings(when="auto", number=5, test_images=300, test_images_of_a_class=10)
"""What settings that do not mention folds say: records of commands of earlier versions have none."""


class SplitSettings(Settings):
    """How images are divided; by class, and by nothing else but the seed."""

    validation_fraction: float = Field(gt=0, lt=1, description="share of the training images kept for validation")
    test_fraction: float = Field(
        gt=0, lt=1, description="share of all images kept for test; only where the source has no test split of its own"
    )
    seed: int = Field(ge=0, description="seed of both divisions")
    copies: Literal["together", "apart"] = Field(
        description="together: copies of a picture never stand on two sides of a split (published data sets keep the splits "
        "that they are known by); apart: they are divided like other images",
    )
    folds: FoldSettings = Field(default=FOLDS, description="cross-validation in place of one test split")
    long_tail: LongTailSettings | None = Field(
        description="keep fewer and fewer images of the classes, of all that are not for test; null keeps every image",
    )


class ColumnSettings(Settings):
    """Which columns of a table, or of Parquet files, say what; null where they are recognised by name and content."""

    image: str | None = Field(min_length=1, description="path of the image, relative to the table, or its bytes")
    label: str | None = Field(min_length=1, description="name or number of the class")
    split: str | None = Field(min_length=1, description="train, validation or test; without it they are carved")
    group: str | None = Field(
        min_length=1, description="patient, place, video: images of one group never stand on two sides of a split"
    )


_SPLITS_BEFORE = (("copies", "together"), ("folds", FOLDS.model_dump(mode="json")))
"""Of splits, what settings would have said before there was the choice."""


class DataPrepSettings(Settings):
    """Where images come from and what is made of them."""

    source: SourceSettings = Field(
        description="digits, cifar10, cifar100, mnist, fashion_mnist, or the path of a folder of images, parquet files "
        "or original archives, of a table, or of a packed archive; a list of these is joined to one image set",
    )
    layout: Literal["auto", "class", "class/group", "group/class"] = Field(
        description="what the folders of images mean; auto: classes, or splits with classes in them, and a question where "
        "folders lie deeper",
    )
    columns: ColumnSettings = Field(description="columns of a table or of Parquet files")
    configuration: str | None = Field(
        min_length=1, description="which of several configurations that lie in one folder of Parquet files"
    )
    image_size: int | None = Field(ge=1, le=1024, description="height and width in pixels; null keeps the source's own")
    resize: Literal["squash", "letterbox", "crop"] = Field(
        description="how images that are not square become so. squash: both sides are scaled by themselves; letterbox: the "
        "longer side is scaled and the rest filled with the background; crop: the shorter side is scaled and the middle "
        "cut out",
    )
    background: str = Field(
        pattern="^(white|black|grey|#[0-9a-fA-F]{6})$",
        description="what transparent images are laid over, and what letterbox fills with: white, black, grey or #rrggbb",
    )
    skip_corrupt: bool = Field(description="leave out images that cannot be read, instead of stopping")
    accept: tuple[str, ...] = Field(
        description="findings of `kedro data check` by their names that are wrong, and are to be gone on with all the same"
    )
    splits: SplitSettings = Field(description="train, validation and test")
    download_folder: Path = Field(description="where downloaded archives are kept")
    ffcv: Literal["auto", True, False] = Field(description="write .beton files; auto: where FFCV is installed")

    @model_validator(mode="after")
    def _names_once(self) -> "DataPrepSettings":
        names = [] if isinstance(self.source, str) else [source_name(source) for source in self.source]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(
                f"source has two entries that are called '{twice}', and so would their classes be; leave one out or rename "
                "its folder"
            )
        return self

    def content(self) -> dict[str, Any]:
        """The settings that decide what the prepared images and splits are, as JSON values.

        What came later is mentioned where it says something else than was done before it: data that was prepared before
        keeps its key.
        """
        splits = self.splits.model_dump(mode="json", exclude_none=True)
        return {
            "source": _resolved(self.source) if isinstance(self.source, str) else [*map(_resolved, self.source)],
            "image_size": self.image_size,
            "skip_corrupt": self.skip_corrupt,
            "splits": {name: value for name, value in splits.items() if (name, value) not in _SPLITS_BEFORE},
            **self._added(),
        }

    def _added(self) -> dict[str, Any]:
        sources = [self.source] if isinstance(self.source, str) else self.source
        square = self.image_size is None or all(source in NAMED_SOURCES for source in sources)
        before = _SQUARE_BEFORE if square else _BEFORE
        said = self.model_dump(mode="json", include={*_BEFORE})
        return {name: value for name, value in said.items() if value != before[name]}


def source_folder(source: str) -> Path | None:
    """The folder that `source` names, whichever way it is written; None where it is a named source.

    A relative one starts at the project's folder.
    """
    return None if source in NAMED_SOURCES else in_project(source).resolve()


def source_name(source: str) -> str:
    """What a source is called: the name itself, or that of its folder without the way to it."""
    folder = source_folder(source)
    return folder.name if folder else source


def data_set_key(settings: DataPrepSettings) -> str:
    """Folder name of the prepared data: the names of the sources and a hash of what decides their content."""
    if isinstance(settings.source, str):
        name = source_name(settings.source)
    else:
        name = "_".join(map(source_name, settings.source))[:_MOST_JOINED_LETTERS]
    safe = re.sub(r"[^A-Za-z0-9_.]+", "_", name).strip("._") or "images"
    return f"{safe}-{hash_json(settings.content())[:8]}"


def _resolved(source: str) -> str:
    """A folder of the project as seen from there, so that a project that was moved keeps what it has prepared."""
    folder, project = source_folder(source), project_folder().resolve()
    if folder is None:
        return source
    return f"./{folder.relative_to(project).as_posix()}" if folder.is_relative_to(project) else str(folder)
