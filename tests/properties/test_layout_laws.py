"""Laws of folders: whatever lies where, every picture is read or named, or one sentence says why nothing is."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from tests.data.test_layouts import HEIC, LEFT_OUT, SPLITS, picture
from tests.properties.law_profiles import law

from vision_studies.config.data_prep import SplitSettings
from vision_studies.data.sources.image_folder import has_pictures, list_image_folder
from vision_studies.data.sources.tree import Tree, TreeFile
from vision_studies.errors import DataError

PNG = picture(0)[:256]
FOLDERS = (
    "train",
    "Test",
    "val",
    "cat",
    "dog",
    "Cat",
    "cafe\u0301",
    "caf\u00e9",
    "images",
    "p1",
    "p2",
    "data",
    "seg_train",
)
FILES = {
    "1.png": PNG,
    "2": PNG,
    "3.jpg": HEIC,
    "4.txt": b"text",
    "5.zip": b"PK\3\4",
    "6.png": b"",
    "7.heic": HEIC,
    "8.tmp": PNG,
}

paths = st.builds(
    lambda folders, name: (*folders, name),
    st.lists(st.sampled_from(FOLDERS), max_size=4),
    st.sampled_from([*FILES]),
)


@law
@given(
    st.sets(paths, max_size=40),
    st.sampled_from(["auto", "class", "class/group", "group/class"]),
)
def test_every_picture_is_read_or_named(lying, layout):
    files = tuple(sorted(TreeFile(parts, FILES[parts[-1]]) for parts in lying))
    tree = Tree("somewhere", files, (), lambda wanted: ((parts, b"") for parts in wanted))
    try:
        listing = list_image_folder(tree, layout, SplitSettings(**SPLITS))
    except DataError as error:
        assert "\n" not in str(error)  # noqa: PT017
        return
    assert has_pictures(tree)
    items = [*listing.items()]
    named = Counter(name for finding in listing.findings if finding.name in LEFT_OUT for name in finding.files)
    assert max(named.values(), default=1) == 1
    read = {item.name for item in items}
    assert len(read) == len(items)
    assert not read & named.keys()
    others = {"4.txt", "5.zip"}
    assert read | named.keys() == {"/".join(parts) for parts in lying if parts[-1] not in others}
    assert listing.seen == len(read) + len(named)
    assert {item.label for item in items} == {*range(len(listing.class_names))}
    for item in items:
        folders = [folder.casefold() for folder in item.name.split("/")[:-1]]
        assert item.split is None or len(folders) > 1
        assert item.group is None or item.group.casefold() in map(str.casefold, (*folders, "caf\u00e9"))
