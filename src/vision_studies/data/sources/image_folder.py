"""A user's own images: what their folders mean, of a folder on disk or packed in an archive.

A folder with images directly in it is a class. Which folders are splits, classes or groups is seen from their names and from
what lies in them; where both readings make sense it is asked (`data_prep.layout`).
"""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, NamedTuple

from vision_studies.config.data_prep import SplitSettings
from vision_studies.data.checks.findings import Finding
from vision_studies.data.checks.wording import counted, named
from vision_studies.data.sources.formats import HEIC, IMAGE_SUFFIXES, READ_FORMATS, is_meant_as_image, sniff_format
from vision_studies.data.sources.labels import division_findings, name_key
from vision_studies.data.sources.listing import Item, Listing, SplitName
from vision_studies.data.sources.raw import files_below
from vision_studies.data.sources.splitting_words import split_of
from vision_studies.data.sources.tree import Parts, Tree, TreeFile
from vision_studies.errors import DataError

Layout = Literal["auto", "class", "class/group", "group/class"]

_INNER_NAMES = frozenset(
    ["image", "images", "img", "imgs", "photo", "photos", "pictures", "pics", "jpg", "jpeg", "png", "raw", "data"]
)
_ARCHIVE_SUFFIXES = {".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar", ".zst"}
_OTHER_PICTURES = {
    **dict.fromkeys((".mp4", ".avi", ".mov", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv"), "film"),
    **dict.fromkeys((".eps", ".ps"), "PostScript"),
    **dict.fromkeys((".dcm",), "DICOM"),
    **dict.fromkeys((".nef", ".cr2", ".cr3", ".arw", ".dng", ".raf", ".orf", ".rw2"), "camera raw"),
    **dict.fromkeys((".psd", ".xcf", ".svg", ".jxl", ".exr", ".hdr", ".ico"), ""),
    **dict.fromkeys((".npy", ".npz", ".mat", ".h5", ".nii"), "array"),
}
"""Suffix -> what a file of it is called that is no text and no image that is read; by its own suffix where nothing is said."""
_OF_IMAGES = {".json", ".txt", ".xml", ".csv", ".npy", ".md5", *_ARCHIVE_SUFFIXES}
"""What is kept beside `1.jpg` as `1.jpg.xml`."""

_FEW_NAMED = 5


def list_image_folder(tree: Tree, layout: Layout, splits: SplitSettings) -> Listing:
    """Every file that is an image by its content; classes are the folders' names in alphabetical order.

    Raises:
        DataError: there are no images, fewer than two classes, or a split has a class that training lacks.
    """
    sorted_files = _sort_files(tree)
    classes = _ByClass(tree.source, sorted_files, layout).read()
    read = {file.parts for file in sorted_files.images}
    names = sorted({place.name for place in classes.places if place.parts in read})
    if len({place.name for place in classes.places}) < 2:
        raise DataError(_too_few_classes(tree, names, sorted_files))
    labels = {name: label for label, name in enumerate(names)}
    order = {None: 0, "train": 0, "validation": 1, "test": 2}
    places = sorted(
        (place for place in classes.places if place.parts in read), key=lambda p: (order[p.split], labels[p.name])
    )
    by_parts = {place.parts: place for place in places}

    def items() -> Iterator[Item]:
        for parts, content in tree.contents(by_parts):
            place = by_parts[parts]
            yield Item("/".join(parts), content, labels[place.name], place.split, place.group)

    findings = [*classes.findings, *_class_left_out(classes.places, read), *sorted_files.findings(classes.places)]
    findings += _loose(classes.loose)
    findings += division_findings(tree.title, names, [(labels[p.name], p.split, p.group) for p in places], splits)
    return Listing(tree.source, tuple(names), items, tuple(findings), len(sorted_files.pictures))


def has_pictures(tree: Tree) -> bool:
    """Whether anything is to be read in it, or is a picture that cannot be read."""
    return any(_is_read(file.parts[-1], file.head) or _unread_kind(file.parts[-1], file.head) for file in tree.files)


def has_classes(tree: Tree) -> bool:
    """Whether there are folders of images: what else lies beside them is not what is meant."""
    return any(len(file.parts) > 1 and _is_read(file.parts[-1], file.head) for file in tree.files)


def image_files(folder: Path) -> list[Path]:
    """All image files below `folder`, whatever they are called, and files that are called images, sorted; no hidden ones."""
    return [file for file in files_below(folder) if is_meant_as_image(file)]


def class_files(root: Path) -> dict[str, list[Path]]:
    """Name of each folder in `root` that holds images, hidden ones left out -> its image files; sorted."""
    entries = (entry for entry in sorted(root.iterdir()) if entry.is_dir() and not entry.name.startswith("."))
    return {entry.name: files for entry in entries if (files := image_files(entry))}


class _Place(NamedTuple):
    """Where an image file stands."""

    parts: Parts
    name: str  # of its class
    split: SplitName | None = None
    group: str | None = None


# --- What is an image -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Files:
    """Files by what they are: `images` are read, `unknown` are pictures in a format that is not."""

    images: tuple[TreeFile, ...]
    unknown: Mapping[Parts, str]  # -> what its format is called
    archives: tuple[Parts, ...]
    others: tuple[Parts, ...]
    hidden: tuple[str, ...]

    @cached_property
    def pictures(self) -> list[Parts]:
        """Paths of all pictures, read or not, sorted."""
        return sorted([*(file.parts for file in self.images), *self.unknown])

    def findings(self, places: Sequence[_Place]) -> Iterator[Finding]:
        """What is to be said of files, whatever their folders mean."""
        inside = {place.parts for place in places}
        unknown = [parts for parts in self.unknown if parts in inside]
        if unknown:
            formats = Counter(self.unknown[parts] for parts in unknown)
            told = ", ".join(f"{count} {name}" for name, count in formats.most_common(_FEW_NAMED))
            yield Finding(
                "unknown_format",
                f"{counted(len(unknown), 'file')} in a format that is not read ({told}).",
                _names(unknown),
            )
        kept = [file for file in self.images if file.parts in inside]
        bare = [file.parts for file in kept if not Path(file.parts[-1]).suffix]
        if bare:
            yield Finding(
                "no_suffix", f"{counted(len(bare), 'image')} without an ending, read by content.", _names(bare)
            )
        wrong = [file.parts for file in kept if _wrong_suffix(file)]
        if wrong:
            yield Finding(
                "wrong_suffix", f"{counted(len(wrong), 'image')} whose ending names another format.", _names(wrong)
            )
        if self.archives:
            yield Finding(
                "archive_beside_images",
                f"{counted(len(self.archives), 'archive')} beside the images ({named(_names(self.archives))}).",
                _names(self.archives),
            )
        if self.hidden:
            yield Finding(
                "system_files",
                f"{counted(len(self.hidden), 'file or folder', 'files and folders')} left by programs.",
                self.hidden,
            )
        if self.others:
            yield Finding(
                "other_files", f"{counted(len(self.others), 'file')} that are no images.", _names(self.others)
            )


def _sort_files(tree: Tree) -> _Files:
    images: list[TreeFile] = []
    unknown: dict[Parts, str] = {}
    archives: list[Parts] = []
    others: list[Parts] = []
    for file in tree.files:
        name = file.parts[-1]
        if _is_read(name, file.head):
            images.append(file)
        elif kind := _unread_kind(name, file.head):
            unknown[file.parts] = kind
        elif Path(name).suffix.lower() in _ARCHIVE_SUFFIXES:
            archives.append(file.parts)
        else:
            others.append(file.parts)
    return _Files(tuple(images), unknown, tuple(archives), tuple(others), tree.hidden)


def _is_read(name: str, head: bytes) -> bool:
    """By its content; a file that is called an image and holds nothing that is known is a damaged one."""
    found = sniff_format(head)
    if found == "TGA":  # its first bytes are not its own alone
        return Path(name).suffix.lower() in IMAGE_SUFFIXES or not Path(name).suffix
    if found in READ_FORMATS:
        return True
    if found is not None:
        return found == HEIC and find_spec("pillow_heif") is not None
    suffixes = {suffix.lower() for suffix in Path(name).suffixes[-2:]}
    return bool(suffixes & IMAGE_SUFFIXES) and not suffixes & _OF_IMAGES


def _unread_kind(name: str, head: bytes) -> str | None:
    """What a picture is called that is not read; None where the file is no picture."""
    found = sniff_format(head)
    suffix = Path(name).suffix.lower()
    if found is not None and found not in READ_FORMATS:
        return found
    if suffix in _OTHER_PICTURES:
        return _OTHER_PICTURES[suffix] or suffix[1:].upper()
    return "of no known kind" if not suffix and b"\0" in head else None


def _wrong_suffix(file: TreeFile) -> bool:
    suffix = Path(file.parts[-1]).suffix.lower()
    found = sniff_format(file.head)
    return bool(suffix) and found is not None and suffix_format(suffix) != found


def suffix_format(suffix: str) -> str | None:
    """The format that a suffix names; None of one that names no image."""
    from PIL import Image

    found = Image.registered_extensions().get(suffix)
    return {"MPO": "JPEG", "HEIF": HEIC}.get(found or "", found)


# --- What folders mean ----------------------------------------------------------------------------------------------------


@dataclass
class _ByClass:
    """Reads the folders of pictures; `places`, `loose` and `findings` are what comes of it."""

    source: str
    files: _Files
    layout: Layout
    places: list[_Place] = field(default_factory=list)
    loose: list[Parts] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    def read(self) -> "_ByClass":
        root, pictures = self._descend((), self.files.pictures, note=True)
        splits = self._split_folders(root, pictures)
        if not splits:
            self._read_classes(root, pictures, None, check=True)
            return self
        self._tell_splits(splits)
        known: set[str] = set()
        rest = [parts for parts in pictures if parts[len(root)] not in splits or len(parts) <= len(root) + 1]
        roles: tuple[SplitName, ...] = ("train", "validation", "test")
        for split in roles:
            for folder in (folder for folder, role in splits.items() if role == split):
                of_folder = [parts for parts in pictures if parts[: len(root) + 1] == (*root, folder)]
                inner, inner_pictures = self._descend((*root, folder), of_folder, note=False)
                before = len(self.places)
                self._read_classes(inner, inner_pictures, split, check=split == "train")
                self._match_names(before, known, split, "/".join((*root, folder)))
        self._leave_out(root, rest)
        return self

    def _descend(self, root: Parts, pictures: list[Parts], *, note: bool) -> tuple[Parts, list[Parts]]:
        """Go into a folder that is the only one with pictures, as long as there are folders with pictures in it."""
        start = root
        while True:
            depth = len(root)
            inside = {parts[depth] for parts in pictures if len(parts) > depth + 1}
            below = [parts for parts in pictures if len(parts) > depth + 1]
            # One folder with pictures in it is a class; one with groups or classes in it is what `layout` tells of.
            if len(inside) != 1 or max(map(len, below)) < depth + (4 if "/" in self.layout else 3):
                break
            folder = next(iter(inside))
            self.loose += [parts for parts in pictures if len(parts) == depth + 1]
            root, pictures = (*root, folder), below
        if note and root != start:
            self.findings.append(Finding("outer_folder", f"The classes lie in {'/'.join(root)}/.", ("/".join(root),)))
        return root, pictures

    def _split_folders(self, root: Parts, pictures: list[Parts]) -> dict[str, SplitName]:
        """Folder -> split, of those that hold folders of pictures; none where none is for training."""
        depth = len(root) + (3 if self.layout == "group/class" else 2)  # of what is no deeper than a class
        deep = sorted({parts[len(root)] for parts in pictures if len(parts) > depth})
        splits = {name: split for name in deep if (split := split_of(name)) is not None}
        if "train" not in splits.values() or (self.layout != "auto" and len({*splits.values()}) < 2):
            return {}
        return splits

    def _tell_splits(self, splits: Mapping[str, SplitName]) -> None:
        told = ", ".join(f"{folder}/ is the {split} split" for folder, split in splits.items())
        missing = [split for split in ("validation", "test") if split not in splits.values()]
        carved = (
            f"; {' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} carved from training" if missing else ""
        )
        self.findings.append(Finding("split_folders", f"{told}{carved}.", tuple(splits)))

    def _read_classes(self, root: Parts, pictures: list[Parts], split: SplitName | None, *, check: bool) -> None:
        depth = len(root)
        self.loose += [parts for parts in pictures if len(parts) == depth + 1]
        below = [parts for parts in pictures if len(parts) > depth + 1]
        if self.layout == "group/class":
            self.loose += [parts for parts in below if len(parts) == depth + 2]
            self.places += [_Place(p, p[-2], split, _group(p[depth])) for p in below if len(p) > depth + 2]
            return
        if self.layout == "class/group":
            self.places += [
                _Place(p, p[depth], split, _group(p[depth + 1]) if len(p) > depth + 2 else None) for p in below
            ]
            return
        if inner := self._inner_splits(depth, below) if check and split is None and self.layout == "auto" else {}:
            self._tell_splits(inner)
            self.places += [_Place(parts, parts[depth], inner[parts[depth + 1]]) for parts in below]
            return
        if check and self.layout == "auto":
            self._check_depth(depth, below)
        self.places += [_Place(parts, parts[depth], split) for parts in below]

    def _inner_splits(self, depth: int, below: list[Parts]) -> dict[str, SplitName]:
        """Splits inside of classes (`cat/train/1.png`): where every picture lies in such a folder, some for training."""
        if not all(len(parts) > depth + 2 for parts in below):
            return {}
        inner = {parts[depth + 1]: split_of(parts[depth + 1]) for parts in below}
        splits = {name: split for name, split in inner.items() if split is not None}
        return (
            splits if len(splits) == len(inner) and "train" in splits.values() and len({*splits.values()}) > 1 else {}
        )

    def _check_depth(self, depth: int, below: list[Parts]) -> None:
        """Whether folders of folders may be something else than classes with folders in them."""
        folders: dict[str, set[str]] = {}
        direct: set[str] = set()
        for parts in below:
            folders.setdefault(parts[depth], set())
            if len(parts) > depth + 2:
                folders[parts[depth]].add(parts[depth + 1])
            else:
                direct.add(parts[depth])
        for name, inner in folders.items():
            again = inner & (folders.keys() - {name})
            if len(again) > 1 and len(again) * 2 >= len(folders) - 1:
                files = [parts for parts in below if parts[depth] == name]
                told = f"{name}/ holds the folders {named(sorted(again))} again, with {counted(len(files), 'image')}."
                self.findings.append(Finding("unpacked_twice", told, _names(files)))
                return
        deep = {name: inner for name, inner in folders.items() if name not in direct}
        times = Counter(key for inner in deep.values() for key in {name_key(name) for name in inner})
        shared = {key for key, count in times.items() if count > 1 and key not in _INNER_NAMES}
        mixed = [name for name, inner in deep.items() if any(name_key(folder) in shared for folder in inner)]
        if len(mixed) > 1 and len(mixed) * 2 >= len(folders):
            examples = sorted(folder for folder in deep[mixed[0]] if name_key(folder) in shared)
            self.findings.append(
                Finding(
                    "nested_folders",
                    f"{counted(len(mixed), 'folder')} ({named(mixed)}) hold folders of the same names ({named(examples)}).",
                    tuple(mixed),
                    f"Set data_prep.layout=class where {mixed[0]} is a class, class/group where it is one and {examples[0]} a "
                    f"person or place, group/class where {examples[0]} is a class and {mixed[0]} a person or place.",
                )
            )

    def _match_names(self, before: int, known: set[str], split: SplitName, folder: str) -> None:
        """Bring classes of a split to the names that those of training have, which are the first to be read."""
        if split == "train":
            known |= {place.name for place in self.places[before:]}
            return
        new = {place.name for place in self.places[before:]} - known
        similar = {name_key(name): name for name in known}
        same = {name: similar[name_key(name)] for name in new if name_key(name) in similar}
        unknown = sorted(new - same.keys())
        if unknown:
            raise DataError(
                f"{self.source}/{folder} has the class '{unknown[0]}', which training lacks; both need the same."
            )
        if same:
            told = ", ".join(f"'{name}' in {folder}/ and '{other}' in training" for name, other in sorted(same.items()))
            self.findings.append(Finding("similar_class_names", f"Taken as one class: {told}.", tuple(sorted(same))))
            self.places[before:] = [p._replace(name=same.get(p.name, p.name)) for p in self.places[before:]]

    def _leave_out(self, root: Parts, rest: list[Parts]) -> None:
        self.loose += [parts for parts in rest if len(parts) == len(root) + 1]
        beside = [parts for parts in rest if len(parts) > len(root) + 1]
        if beside:
            folders = sorted({"/".join((*parts[: len(root) + 1], "")) for parts in beside})
            told = f"{counted(len(beside), 'image')} in {named(folders)} beside the folders of splits."
            self.findings.append(Finding("beside_splits", told, _names(beside)))


def _group(folder: str) -> str:
    return unicodedata.normalize("NFC", folder)


def _class_left_out(places: Iterable[_Place], read: set[Parts]) -> Iterator[Finding]:
    total: Counter[str] = Counter()
    kept: Counter[str] = Counter()
    for place in places:
        total[place.name] += 1
        kept[place.name] += place.parts in read
    gone = sorted(name for name in total if not kept[name])
    if gone:
        told = ", ".join(f"'{name}' with {total[name]} files" for name in gone[:_FEW_NAMED])
        yield Finding(
            "class_left_out", f"No file can be read of {counted(len(gone), 'class', 'classes')}: {told}.", tuple(gone)
        )


def _loose(loose: Sequence[Parts]) -> Iterator[Finding]:
    if loose:
        told = f"{counted(len(loose), 'image')} beside the folders of classes ({named(_names(loose))})."
        yield Finding("loose_files", told, _names(loose))


def _names(paths: Iterable[Parts]) -> tuple[str, ...]:
    return tuple("/".join(parts) for parts in paths)


def _too_few_classes(tree: Tree, names: Sequence[str], files: _Files) -> str:
    content = f"one class ('{names[0]}')" if names else "no folders with images"
    tables = [parts[-1] for parts in files.others if Path(parts[-1]).suffix.lower() in (".csv", ".tsv", ".jsonl")]
    table = f"; where {tables[0]} says what they show, name it as data_prep.source" if tables and not names else ""
    return (
        f"{tree.source} has {content}; two classes at least are needed, as {tree.title}/<class>/<image> or "
        f"{tree.title}/{{train,test}}/<class>/<image>{table}."
    )
