"""Files that are cut, changed, swapped or replaced, and what the project then makes of them."""

import functools
import os
import pickle
import random
import resource
import shutil
import signal
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.faults.places import Place
from tests.faults.tally import LOST, SURVIVED, Trial

from vision_studies.errors import VisionStudiesError

KIND = "damaged file"
SECONDS = 60
"""After which a reader counts as one that hangs."""

_MEMORY = 24 << 30  # bytes of address space; torch alone reserves several GiB of it
_LONGEST_SENTENCE = 700


@dataclass(frozen=True)
class Damage:
    """What is done to a file.

    Attributes:
        name: for people to read.
        harm: takes the file's content and whatever stands beside it, and returns other content.
    """

    name: str
    harm: Callable[[bytes, random.Random], bytes]


class _Canary:
    """Pickled as a call that leaves a file behind wherever it is made."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch '{self._file}'",)


def damages(canary: Path) -> list[Damage]:
    """All kinds of damage; a pickle that is run creates `canary`."""
    bomb = pickle.dumps(_Canary(canary))
    return [
        Damage("empty", lambda content, _: b""),
        *(
            Damage(f"cut, {number}", lambda content, chance: content[: chance.randrange(1, max(2, len(content)))])
            for number in range(3)
        ),
        *(Damage(f"one byte changed, {number}", functools.partial(_flipped, count=1)) for number in range(4)),
        Damage("many bytes changed", functools.partial(_flipped, count=40)),
        Damage("a part of zeros", _zeroed),
        Damage("longer", lambda content, chance: content + chance.randbytes(64)),
        Damage("a text instead", lambda *_: b"not what you expect\n"),
        Damage("a picture instead", lambda *_: b"\x89PNG\r\n\x1a\n" + bytes(64)),
        Damage("a hostile pickle instead", lambda *_: bomb),
    ]


def damaged(place: Place, folder: Path, canary: Path, seed: int = 0, only: int | None = None) -> Iterator[Trial]:
    """Do every damage to a file of a place, chosen by chance, and read it.

    Args:
        place: the kind of file.
        folder: an empty one to work in.
        canary: a path where nothing is.
        seed: of files, lengths and bytes.
        only: do this many damages, not all.
    """
    good = folder / "good"
    good.mkdir(parents=True)
    place.build(good)
    expected = place.read(_copied(good, folder / "read"))
    for damage in damages(canary)[:only]:
        chance = random.Random(f"{seed} {place.name} {damage.name}")  # noqa: S311 - drawn anew alike, not secret
        copy = _copied(good, folder / "harmed")
        file = chance.choice(sorted(path for path in copy.glob(place.harmed) if path.is_file()))
        file.write_bytes(damage.harm(file.read_bytes(), chance))
        yield judged(
            KIND, place.name, f"{damage.name}: {file.name}", lambda: place.read(folder / "harmed"),
            expected=expected, guarded=place.guarded, canary=canary,
        )  # fmt: skip


_UNKNOWN = object()


def judged(
    kind: str, subject: str, fault: str, read: Callable[[], Any], *, canary: Path, expected: Any = _UNKNOWN,
    guarded: bool = False, must_refuse: bool = False,
) -> Trial:  # fmt: skip
    """Read a bad file: what counts as survived is the right content, or one sentence of the project's own.

    Args:
        kind: group of the table.
        subject: row of the table.
        fault: what is wrong with the file.
        read: reads it.
        canary: a file that is there if something of the file was run.
        expected: what reading gives where nothing is wrong.
        guarded: other content than expected counts as lost, too.
        must_refuse: any content counts as lost.
    """
    try:
        with _limits(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = read()
    except Exception as error:  # whatever a library raises is what is looked for here
        sentence = told_by_the_command(error)
        if sentence is None:
            outcome, told = LOST, f"a traceback: {type(error).__name__}: {str(error)[:200]}"
        elif "\n" in sentence or len(sentence) > _LONGEST_SENTENCE:
            outcome, told = LOST, f"told in more than a sentence: {sentence[:300]!r}"
        else:
            outcome, told = SURVIVED, f"refused: {sentence[:300]}"
    except _HangsError:
        outcome, told = LOST, f"not read within {SECONDS} seconds"
    else:
        if must_refuse:
            outcome, told = LOST, "read as if nothing was wrong with it"
        elif expected is _UNKNOWN or found == expected:
            outcome, told = SURVIVED, "read rightly"
        elif guarded:
            outcome, told = LOST, "read with other content, without a word"
        else:
            outcome, told = SURVIVED, "read with other content, which nothing can tell"
    if canary.exists():
        canary.unlink()
        outcome, told = LOST, "code of the file was run"
    return Trial(kind, subject, fault, outcome, told)


class _HangsError(BaseException):
    """A reader that does not come to an end. No reader catches this one."""


def told_by_the_command(error: BaseException | None) -> str | None:
    """The sentence that the command line prints for an error; None where it shows a traceback."""
    while error is not None:
        if isinstance(error, VisionStudiesError):
            return str(error)
        error = error.__cause__ or error.__context__
    return None


@contextmanager
def _limits() -> Iterator[None]:
    """Memory and time that a reader may take."""
    before = resource.getrlimit(resource.RLIMIT_AS)

    def stop(*_: Any) -> None:
        raise _HangsError

    handler = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, SECONDS, 5)
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)


def _copied(folder: Path, target: Path) -> Path:
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(folder, target)
    return target


def _flipped(content: bytes, chance: random.Random, count: int) -> bytes:
    changed = bytearray(content)
    for _ in range(min(count, len(changed))):
        changed[chance.randrange(len(changed))] ^= chance.randrange(1, 256)
    return bytes(changed)


def _zeroed(content: bytes, chance: random.Random) -> bytes:
    start = chance.randrange(max(1, len(content)))
    length = max(1, len(content) // 5)
    return (content[:start] + bytes(length) + content[start + length :])[: len(content)]
