"""Words that name a split, in whatever spelling."""

import re

from vision_studies.data.sources.listing import SplitName

_WORDS: dict[str, SplitName] = {
    **dict.fromkeys(("train", "training", "trn"), "train"),
    **dict.fromkeys(("val", "valid", "validate", "validation", "vali", "dev", "development"), "validation"),
    **dict.fromkeys(("test", "testing", "tst", "eval", "evaluation", "holdout"), "test"),
}
_FILLING = {"set", "split", "data", "dataset", "image", "images", "img", "imgs", "pictures", "folder", "seg"}


def split_of(name: str) -> SplitName | None:
    """The split that a folder, a file or a value is called after; None where its name says something else.

    Examples:
        >>> from vision_studies.data.sources.splitting_words import split_of
        >>> [split_of(name) for name in ("Train", "VALID", "test_set", "seg_train", "val2017", "trains")]
        ['train', 'validation', 'test', 'train', 'validation', None]
    """
    words = re.findall(r"[^\W\d_]+", name.casefold())
    words = [word.removesuffix("set") if word.removesuffix("set") in _WORDS else word for word in words]
    splits = {_WORDS[word] for word in words if word in _WORDS}
    others = [word for word in words if word not in _WORDS and word not in _FILLING]
    return splits.pop() if len(splits) == 1 and not others else None
