"""What a case says: what lies on the disk, what is to be found, and what data result."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.odd_inputs.trees import Tree

from vision_studies.data.image_set import ImageSet

Counts = Mapping[str, int | tuple[int, int, int]]
"""Images of each class: in all, or of training, validation and test where the source divides them."""

BOTH: Counts = {"cat": 12, "dog": 12}


@dataclass(frozen=True)
class Case:
    """One way in which images lie on people's disks.

    Attributes:
        name: a few words; what lies there, as the page shows it.
        lies: gives the files.
        findings: names of all that is to be found, and nothing else.
        counts: what data result; None where nothing can be made of it.
        refused: pattern of the sentence that stops the preparation; empty where it goes on at once.
        mend: parameters with which it goes on after it was refused.
        parameters: of `data_prep`, from the beginning.
        source: the path of the source among the files; empty for the folder.
        then: what cannot be told as files: links, pipes.
        seen: looks at the images that result.
        named: how many images are left out and named by a finding.
        untrained: how many images are in no split, for their copies are for test.
        only_where: whether it can be tried here.
    """

    name: str
    lies: Callable[[], Tree]
    findings: tuple[str, ...] = ()
    counts: Counts | None = field(default_factory=lambda: BOTH)
    refused: str = field(default="", kw_only=True)
    mend: Mapping[str, Any] = field(default_factory=dict, kw_only=True)
    parameters: Mapping[str, Any] = field(default_factory=dict, kw_only=True)
    source: str = field(default="", kw_only=True)
    then: Callable[[Path], None] = field(default=lambda folder: None, kw_only=True)
    seen: Callable[[ImageSet], None] = field(default=lambda image_set: None, kw_only=True)
    named: int = field(default=0, kw_only=True)
    untrained: int = field(default=0, kw_only=True)
    only_where: Callable[[], bool] = field(default=lambda: True, kw_only=True)


def accept(*names: str) -> dict[str, Any]:
    """Parameters with which findings are gone on with."""
    return {"accept": names}
