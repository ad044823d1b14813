"""How many there are of something, and what the first of them are called, in the sentences of findings."""

from collections.abc import Sequence

_NAMED = 5


def counted(number: int, one: str, several: str = "") -> str:
    """A number with its noun; `several` where it is not `one` with an s.

    Examples:
        >>> from vision_studies.data.checks.wording import counted
        >>> counted(1, "image"), counted(1200, "image"), counted(2, "class", "classes")
        ('1 image', '1,200 images', '2 classes')
    """
    return f"{number:,} {one if number == 1 else several or one + 's'}"


def named(names: Sequence[str]) -> str:
    """The first few names.

    Examples:
        >>> from vision_studies.data.checks.wording import named
        >>> named(["a", "b", "c", "d", "e", "f"])
        'a, b, c, d, e, ...'
    """
    return ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")
