"""Names of classes come from folders, archives and text files, and go into terminals, pages and file names."""

import re
from collections.abc import Sequence

from vision_studies.errors import DataError

_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, with which a name could rewrite a terminal; ends of lines; turns of the writing direction; no text."""

_SHOWN = 60


def check_class_names(names: Sequence[str], source: str) -> None:
    """Refuse names that could do more than be read.

    Args:
        names: of classes, as they were found.
        source: where, for the message.

    Raises:
        DataError: a name is empty or holds a control character.
    """
    for name in names:
        if not name.strip() or _UNFIT.search(name):
            raise DataError(
                f"{source} has a class called {ascii(name)[:_SHOWN]}, which is empty or holds a character that cannot be "
                "shown; rename the class."
            )
