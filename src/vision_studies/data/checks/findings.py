"""What a check of images can find: each kind once, with how bad it is, why it matters and what mends it."""

from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from vision_studies.errors import DataError


class Severity(StrEnum):
    """How bad a finding is."""

    WRONG = "wrong"
    """Stops the preparation, unless `data_prep.accept` names it."""
    DOUBTFUL = "doubtful"
    """Goes on, and stands beside every result of these images."""
    NOTE = "note"
    """What was done with the images, which is as most people want it."""


class FindingKind:
    """What all findings of one name share.

    Attributes:
        severity: how bad it is.
        title: a few words, as the head of its row.
        why: a sentence: what it means for a result.
        mend: a sentence with the exact parameter or the step that mends it.
    """

    def __init__(self, severity: Severity, title: str, *, why: str, mend: str) -> None:
        self.severity, self.title, self.why, self.mend = severity, title, why, mend


_WRONG, _DOUBTFUL, _NOTE = Severity.WRONG, Severity.DOUBTFUL, Severity.NOTE

KINDS: dict[str, FindingKind] = {
    # --- Files: what is read of them, and what is not --------------------------------------------------------------------
    "unreadable": FindingKind(
        _WRONG,
        "Files that cannot be read",
        why="Damaged, cut off or empty images would be missing without a word.",
        mend="Replace or delete them, or set data_prep.skip_corrupt=true to leave them out.",
    ),
    "skipped": FindingKind(
        _DOUBTFUL,
        "Files that cannot be read and are left out",
        why="data_prep.skip_corrupt leaves them out; what is reported holds for the others alone.",
        mend="Replace or delete them.",
    ),
    "unknown_format": FindingKind(
        _DOUBTFUL,
        "Files in a format that is not read",
        why="Images of these files are not trained on.",
        mend="Convert them to PNG or JPEG; HEIC is read once pillow-heif is installed (pip install pillow-heif).",
    ),
    "class_left_out": FindingKind(
        _WRONG,
        "Classes of which no file is read",
        why="The class would vanish, and the others would be told apart as if it did not exist.",
        mend="Convert its files to PNG or JPEG, or move its folder out.",
    ),
    "no_suffix": FindingKind(
        _NOTE,
        "Images without an ending",
        why="They are read by their content.",
        mend="Nothing has to be done.",
    ),
    "wrong_suffix": FindingKind(
        _NOTE,
        "Images whose ending names another format",
        why="They are read by their content.",
        mend="Nothing has to be done.",
    ),
    "loose_files": FindingKind(
        _DOUBTFUL,
        "Images beside the folders of classes",
        why="They belong to no class and are not trained on.",
        mend="Move them into the folder of their class, or out.",
    ),
    "other_files": FindingKind(
        _NOTE,
        "Files that are no images",
        why="They are not read.",
        mend="Nothing has to be done.",
    ),
    "system_files": FindingKind(
        _NOTE,
        "Files and folders that programs have left",
        why="__MACOSX, .ipynb_checkpoints, Thumbs.db and the like are not read.",
        mend="Nothing has to be done.",
    ),
    "several_frames": FindingKind(
        _DOUBTFUL,
        "Files of several pictures",
        why="Only the first picture of an animation or of a stack of pages is read.",
        mend="Save each picture that matters as a file.",
    ),
    "very_large": FindingKind(
        _DOUBTFUL,
        "Very large pictures",
        why="What matters in them may be a few pixels once they are brought to data_prep.image_size.",
        mend="Cut out what matters, or raise data_prep.image_size.",
    ),
    "very_small": FindingKind(
        _DOUBTFUL,
        "Very small pictures",
        why="They are blown up, and can be told from the others by that alone.",
        mend="Replace them, or leave them out.",
    ),
    # --- Pixels --------------------------------------------------------------------------------------------------------------
    "transparent": FindingKind(
        _NOTE,
        "Images with transparent parts",
        why="They are laid over data_prep.background.",
        mend="Set data_prep.background to another colour.",
    ),
    "background_chosen": FindingKind(
        _DOUBTFUL,
        "Transparent images that would be blank over the background",
        why="What they show is seen over another background only, which was therefore taken for all images.",
        mend="Set data_prep.background to the colour that you want.",
    ),
    "blank": FindingKind(
        _DOUBTFUL,
        "Blank images",
        why="All their pixels are equal, so that nothing can be learnt from them.",
        mend="Replace or delete them.",
    ),
    "class_blank": FindingKind(
        _WRONG,
        "Classes of blank images",
        why="Nothing can be learnt of a class all of whose images are one colour.",
        mend="Replace the images; where they are transparent, set data_prep.background.",
    ),
    "deep_grey": FindingKind(
        _NOTE,
        "Images of more than 8 bits",
        why="They are brought to 8 bits by the range of values that the whole data set has.",
        mend="Nothing has to be done; save them with 8 bits to decide it yourself.",
    ),
    "float_values": FindingKind(
        _NOTE,
        "Images of decimal numbers",
        why="They are brought to 0 to 255 by the range of values that the whole data set has.",
        mend="Nothing has to be done; save them with 8 bits to decide it yourself.",
    ),
    "mixed_depth": FindingKind(
        _DOUBTFUL,
        "Images of 8 bits beside deeper ones",
        why="Their values may not mean the same.",
        mend="Save all images with one depth.",
    ),
    "cmyk": FindingKind(
        _NOTE,
        "Images in printing colours (CMYK)",
        why="They are turned into red, green and blue without a colour profile.",
        mend="Nothing has to be done.",
    ),
    "turned": FindingKind(
        _NOTE,
        "Photographs turned upright",
        why="The camera has noted how it was held, and they are turned by that.",
        mend="Nothing has to be done.",
    ),
    "damaged_exif": FindingKind(
        _NOTE,
        "Photographs with damaged notes of the camera (EXIF)",
        why="Whether they have to be turned cannot be read; they are taken as they lie.",
        mend="Nothing has to be done where they look upright.",
    ),
    # --- Layout --------------------------------------------------------------------------------------------------------------
    "split_folders": FindingKind(
        _NOTE,
        "Folders taken as splits",
        why="Folders called train, validation or test, however spelt, divide the images and are no classes.",
        mend="Nothing has to be done; data_prep.layout=class takes a folder that is alone of them as a class.",
    ),
    "beside_splits": FindingKind(
        _DOUBTFUL,
        "Images beside the folders of splits",
        why="They belong to no split, or to no class of one, and are not trained on.",
        mend="Move them into the folder of their split and class, or out.",
    ),
    "unpacked_twice": FindingKind(
        _WRONG,
        "A data set that lies in itself again",
        why="A folder holds the same classes once more, and would be a class of copies.",
        mend="Delete the inner folder, or name it as data_prep.source.",
    ),
    "outer_folder": FindingKind(
        _NOTE,
        "A folder around the classes",
        why="The classes are taken from the one folder inside.",
        mend="Nothing has to be done.",
    ),
    "nested_folders": FindingKind(
        _WRONG,
        "Folders of folders",
        why="Which of the two is the class, and whether the other names people or places that belong together, is not known.",
        mend="Set data_prep.layout to class, class/group or group/class.",
    ),
    "archive_beside_images": FindingKind(
        _DOUBTFUL,
        "Archives beside the images",
        why="They are not read.",
        mend="Name the archive as data_prep.source, or move it out.",
    ),
    "several_configurations": FindingKind(
        _WRONG,
        "Several configurations in one folder",
        why="Images would stand in the set twice, or belong to other questions.",
        mend="Set data_prep.configuration to one of them.",
    ),
    "class_order_differs": FindingKind(
        _NOTE,
        "Files that number the classes in another order",
        why="Their labels are matched by the names of the classes.",
        mend="Nothing has to be done.",
    ),
    "guessed_columns": FindingKind(
        _NOTE,
        "Columns recognised by their names or content",
        why="What the table says was taken from these columns.",
        mend="Name others with data_prep.columns.",
    ),
    # --- Labels --------------------------------------------------------------------------------------------------------------
    "few_images": FindingKind(
        _DOUBTFUL,
        "Classes of few images",
        why="What is reported of them hangs on one or two images, or on none.",
        mend="Add images of these classes, or leave them out.",
    ),
    "cannot_be_split": FindingKind(
        _WRONG,
        "Images that cannot be divided",
        why="Every class needs images to learn from, to choose by and to be tested on.",
        mend="Add images of the class or leave it out, or change data_prep.splits.",
    ),
    "group_across_splits": FindingKind(
        _DOUBTFUL,
        "Groups that stand in two splits of the source",
        why="What is learnt of a person or a place in training helps in the test, which makes a result look better than it is.",
        mend="Leave the column of splits out (data_prep.columns.split), so that they are carved by groups.",
    ),
    "class_missing_in_split": FindingKind(
        _DOUBTFUL,
        "Classes without images in a split",
        why="Nothing is known of how well they are told apart there.",
        mend="Add images, or let data_prep carve the split.",
    ),
    "similar_class_names": FindingKind(
        _WRONG,
        "Classes whose names differ in case, accents or spaces alone",
        why="They are most likely one class under two names.",
        mend="Give them one name, or names that differ.",
    ),
    "labels_from_one": FindingKind(
        _NOTE,
        "Labels that begin at 1",
        why="Label 1 is taken as the first class.",
        mend="Nothing has to be done.",
    ),
    "no_label": FindingKind(
        _WRONG,
        "Images without a label",
        why="They cannot be trained on, and would be missing without a word.",
        mend="Give them a label, or leave them out of the table.",
    ),
    # --- Copies --------------------------------------------------------------------------------------------------------------
    "copies": FindingKind(
        _NOTE,
        "The same picture several times",
        why="Copies never stand on two sides of a split.",
        mend="Delete all but one; data_prep.splits.copies=apart divides them like other images.",
    ),
    "near_copies": FindingKind(
        _NOTE,
        "Nearly the same picture several times",
        why="Resized, recompressed, cropped or brightened copies never stand on two sides of a split.",
        mend="Delete all but one; data_prep.splits.copies=apart divides them like other images.",
    ),
    "copies_across_splits": FindingKind(
        _DOUBTFUL,
        "Pictures that stand in training and in test",
        why="They would be recognised and not classified, which makes a result look better than it is.",
        mend="Delete them on one side; where test is the source's, their copies are not trained on.",
    ),
    "copies_with_two_labels": FindingKind(
        _WRONG,
        "The same picture in two classes",
        why="One of the labels is wrong, and whichever is learnt counts as a mistake elsewhere.",
        mend="Delete the picture from the wrong class.",
    ),
    "copies_disagree": FindingKind(
        _DOUBTFUL,
        "Nearly the same picture in two classes",
        why="If it is one picture, one of the labels is wrong.",
        mend="Look at both, and delete or move the one in the wrong class.",
    ),
    # --- What else tells classes apart ---------------------------------------------------------------------------------------
    "shortcut": FindingKind(
        _DOUBTFUL,
        "Classes that can be told apart without looking",
        why="A network may learn the size, shape, format or brightness of a file and not what it shows.",
        mend="Bring all classes to one size and format before, and check that they were photographed alike.",
    ),
}
"""Name, as `data_prep.accept` takes it -> the kind."""


@dataclass(frozen=True)
class Finding:
    """Something that a check has found.

    Attributes:
        name: a key of `KINDS`.
        message: a sentence with numbers: how many, and of what.
        files: what is concerned: names of images, files, folders or classes; all of them.
        mend: where it differs from that of the kind, with the values of this case.
    """

    name: str
    message: str
    files: tuple[str, ...] = ()
    mend: str = ""

    def __post_init__(self) -> None:
        """Refuse a name that no kind has: a KeyError."""
        KINDS[self.name]

    @property
    def kind(self) -> FindingKind:
        """What all findings of this name share."""
        return KINDS[self.name]

    def stops(self, accept: Collection[str]) -> bool:
        """Whether the preparation stops for it: it is wrong, and its name is not among those that are accepted."""
        return self.kind.severity == Severity.WRONG and self.name not in accept

    def to_json(self) -> dict[str, Any]:
        """All of it, with severity, title, why and mend, as a JSON value."""
        kind = self.kind
        told = {"severity": str(kind.severity), "title": kind.title, "why": kind.why, "mend": self.mend or kind.mend}
        return asdict(self) | told | {"files": list(self.files), "count": len(self.files)}


def refuse_wrong(findings: Iterable[Finding], accept: Collection[str], source: str) -> None:
    """Stop where something is wrong that nobody has accepted.

    Raises:
        DataError: a finding is `wrong` and its name is not in `accept`.
    """
    wrong = [finding for finding in findings if finding.stops(accept)]
    if wrong:
        told = " ".join(f"{finding.message} {finding.mend or finding.kind.mend}" for finding in wrong)
        names = ",".join(finding.name for finding in wrong)
        raise DataError(
            f"{source}: {told} `kedro data check` shows all of it; data_prep.accept=[{names}] goes on as it is."
        )
