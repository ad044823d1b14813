"""Folders that mean something else than classes."""

from collections.abc import Callable

from tests.odd_inputs.case import Case, accept
from tests.odd_inputs.trees import Tree, below, classes, images, others, tarred, together, zipped

from vision_studies.data.image_set import ImageSet


def divided(**counts: int) -> Callable[[], Tree]:
    """Folders of splits with folders of classes in them: spelling of a split -> images of a class."""
    return lambda: together(
        *(below(split, classes(count=count, first=100 * place)) for place, (split, count) in enumerate(counts.items()))
    )


def of_people(order: str) -> dict[str, bytes]:
    """Images of two classes and six people, the people in the classes or the classes in the people."""
    pairs = [(name, f"person {person}") for name in ("cat", "dog") for person in range(6)]
    return together(*(images("/".join(pair if order == "class/group" else pair[::-1]), 4) for pair in pairs))


def people_stay_together(image_set: ImageSet) -> None:
    """Every image has its person as its group."""
    assert image_set.items is not None
    assert sorted(image_set.items["group"].unique()) == [f"person {person}" for person in range(6)]
    assert [name.split("person ")[1][0] for name in image_set.items["name"]] == [
        group[-1] for group in image_set.items["group"]
    ]


LAYOUTS = [
    *(
        Case(f"{first}/ and {second}/", divided(**{first: 12, second: 6}), ("split_folders",), counts)
        for first, second, counts in (
            ("train", "test", {"cat": (-1, -1, 6), "dog": (-1, -1, 6)}),
            ("Train", "Test", {"cat": (-1, -1, 6), "dog": (-1, -1, 6)}),
            ("TRAIN", "TEST", {"cat": (-1, -1, 6), "dog": (-1, -1, 6)}),
            ("Training", "Testing", {"cat": (-1, -1, 6), "dog": (-1, -1, 6)}),
            ("train", "Test", {"cat": (-1, -1, 6), "dog": (-1, -1, 6)}),
            ("training", "validation", {"cat": (-1, 6, -1), "dog": (-1, 6, -1)}),
            ("train", "val", {"cat": (-1, 6, -1), "dog": (-1, 6, -1)}),
            ("train", "dev", {"cat": (-1, 6, -1), "dog": (-1, 6, -1)}),
            ("Train", "Valid", {"cat": (-1, 6, -1), "dog": (-1, 6, -1)}),
        )
    ),
    Case(
        "train/, val/ and test/",
        divided(train=12, val=6, test=6),
        ("split_folders",),
        {"cat": (12, 6, 6), "dog": (12, 6, 6)},
    ),
    Case(
        "train/ and test/ that are classes (a railway's, say)",
        lambda: together(images("train"), images("test"), images("tram")),
        (),
        {"train": 12, "test": 12, "tram": 12},
        parameters={"layout": "class"},
    ),
    Case(
        "train/ with images in it, beside other classes",
        lambda: together(images("train"), images("tram")),
        (),
        {"train": 12, "tram": 12},
    ),
    Case("a folder around the classes", lambda: below("pets", classes()), ("outer_folder",)),
    Case(
        "a folder around train/ and test/",
        lambda: below("pets", divided(train=12, test=6)()),
        ("outer_folder", "split_folders"),
        {"cat": (-1, -1, 6), "dog": (-1, -1, 6)},
    ),
    Case(
        "a data set that is unpacked into itself",
        lambda: together(classes(), below("pets", classes())),
        ("unpacked_twice", "copies", "copies_with_two_labels"),
        None,
        refused="pets",
    ),
    Case(
        "classes in folders of people, of whom nothing is said",
        lambda: of_people("group/class"),
        ("nested_folders", "few_images"),
        None,
        refused="layout",
    ),
    Case(
        "folders of people in classes, of whom nothing is said",
        lambda: of_people("class/group"),
        ("nested_folders",),
        None,
        refused="layout",
    ),
    Case(
        "classes in folders of people",
        lambda: of_people("group/class"),
        counts={"cat": 24, "dog": 24},
        parameters={"layout": "group/class"},
        seen=people_stay_together,
    ),
    Case(
        "folders of people in classes",
        lambda: of_people("class/group"),
        counts={"cat": 24, "dog": 24},
        parameters={"layout": "class/group"},
        seen=people_stay_together,
    ),
    Case(
        "train/, test/ and a folder beside them",
        lambda: together(divided(train=12, test=6)(), images("extra/cat", 3)),
        ("split_folders", "beside_splits"),
        {"cat": (-1, -1, 6), "dog": (-1, -1, 6)},
        named=3,
    ),
    Case(
        "train/ and test/ in the folders of classes",
        lambda: together(*(images(f"{name}/train", 12) | images(f"{name}/test", 6) for name in ("cat", "dog"))),
        ("split_folders",),
        {"cat": (-1, -1, 6), "dog": (-1, -1, 6)},
    ),
    Case(
        "a class that is spelt otherwise in test/",
        lambda: together(below("train", classes()), below("test", others(("cat", "Dog")))),
        ("split_folders", "similar_class_names"),
        {"cat": (-1, -1, 6), "dog": (-1, -1, 6)},
        refused="Dog",
        mend=accept("similar_class_names"),
    ),
    Case(
        "folders in classes that mean nothing",
        lambda: of_people("class/group"),
        counts={"cat": 24, "dog": 24},
        parameters={"layout": "class"},
    ),
    Case(
        "a zip archive beside the images",
        lambda: together(classes(), {"pets.zip": zipped(classes())}),
        ("archive_beside_images",),
    ),
    Case(
        "a broken archive beside the images",
        lambda: together(classes(), {"images.tar.gz": b"\x1f\x8b\x08\0broken" * 20}),
        ("archive_beside_images",),
    ),
    Case(
        "an archive that is no data set beside the images",
        lambda: together(classes(), {"old.tar": tarred({"a.txt": b"a"}, "")}),
        ("archive_beside_images",),
    ),
    Case(
        "a class in test/ that train/ lacks",
        lambda: together(below("train", classes()), below("test", others(("cat", "dog", "bird")))),
        (),
        None,
        refused="bird",
    ),
    Case(
        "a class that test/ lacks",
        lambda: together(below("train", classes(("cat", "dog", "bird"))), below("test", others())),
        ("split_folders", "class_missing_in_split", "few_images"),
        {"cat": (-1, -1, 6), "dog": (-1, -1, 6), "bird": (-1, -1, 0)},
    ),
]
