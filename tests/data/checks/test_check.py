import json
import shutil

import numpy as np
import pytest
from PIL import Image
from tests.data.checks.pictures import encoded, photograph, write_classes
from tests.data.conftest import READING

from vision_studies.config.data_prep import DataPrepSettings
from vision_studies.data.checks import survey as surveys
from vision_studies.data.checks.check import check_accept, stored_findings
from vision_studies.data.checks.findings import KINDS, Severity
from vision_studies.data.sources.read import check_sources, read_source
from vision_studies.errors import DataError, ParameterError


def settings(source, **changes):
    splits = {"validation_fraction": 0.2, "test_fraction": 0.2, "seed": 0, "copies": "together", "long_tail": None}
    values = {"source": source if isinstance(source, list) else str(source), "image_size": 16, "skip_corrupt": False}
    values |= {**READING, "splits": splits, "download_folder": "data/01_raw", "ffcv": False, "resize": "crop"}
    return DataPrepSettings(**values | changes)


def found(source, **changes):
    ((check, _),) = check_sources(settings(source, **changes))
    return {finding.name: finding for finding in check.findings}


def put(root, name, content):
    (root / name).write_bytes(content)


def blank(shade=90):
    return Image.new("RGB", (96, 96), (shade, shade, shade))


def glyph(shade):
    pixels = np.full((96, 96, 4), (shade, shade, shade, 0), np.uint8)
    pixels[30:60, 20:70, 3] = 255
    return Image.fromarray(pixels)


CASES = {
    "nothing": (lambda root: None, {}, {}),
    "truncated": (lambda root: put(root, "cat/00.png", encoded(photograph(1))[:300]), {"unreadable": 1}, {}),
    "truncated, skipped": (
        lambda root: put(root, "cat/00.png", encoded(photograph(1))[:300]),
        {"skipped": 1},
        {"skip_corrupt": True},
    ),
    "empty": (lambda root: put(root, "cat/00.png", b""), {"unreadable": 1}, {}),
    "a class of broken files": (
        lambda root: [put(root, f"cat/{n:02d}.png", b"no image") for n in range(30)],
        {"class_left_out": 1, "skipped": 30},
        {"skip_corrupt": True},
    ),
    "blank": (lambda root: put(root, "cat/00.png", encoded(blank())), {"blank": 1}, {}),
    "blanks are no copies": (
        lambda root: [put(root, f"{name}/{n:02d}.png", encoded(blank())) for name in ("cat", "dog") for n in range(2)],
        {"blank": 4},
        {},
    ),
    "a blank class": (
        lambda root: [put(root, f"cat/{n:02d}.png", encoded(blank(8 * n))) for n in range(30)],
        {"class_blank": 1},
        {},
    ),
    "transparent": (lambda root: put(root, "cat/00.png", encoded(glyph(0))), {"transparent": 1}, {}),
    "white glyphs": (lambda root: put(root, "cat/00.png", encoded(glyph(255))), {"background_chosen": 1}, {}),
    "animation": (
        lambda root: put(
            root, "cat/00.gif", encoded(photograph(98), "GIF", save_all=True, append_images=[photograph(2)])
        ),
        {"several_frames": 1},
        {},
    ),
    "printing colours": (
        lambda root: put(root, "cat/00.jpg", encoded(photograph(98).convert("CMYK"), "JPEG")),
        {"cmyk": 1},
        {},
    ),
    "deep grey": (
        lambda root: put(
            root, "cat/00.png", encoded(Image.fromarray(np.arange(9216, dtype=np.uint16).reshape(96, 96)))
        ),
        {"deep_grey": 1, "mixed_depth": 1},
        {},
    ),
    "decimal numbers": (
        lambda root: put(
            root,
            "cat/00.tif",
            encoded(Image.fromarray(np.linspace(0, 1, 9216, dtype=np.float32).reshape(96, 96)), "TIFF"),
        ),
        {"float_values": 1, "mixed_depth": 1},
        {},
    ),
    "very small": (lambda root: put(root, "cat/00.png", encoded(photograph(98, 9))), {"very_small": 1}, {}),
    "very large": (
        lambda root: put(root, "cat/00.jpg", encoded(photograph(98).resize((4100, 4000)), "JPEG")),
        {"very_large": 1},
        {},
    ),
    "a copy": (lambda root: shutil.copy(root / "cat/00.png", root / "cat/x.png"), {"copies": 2}, {}),
    "the same pixels": (
        lambda root: Image.open(root / "cat/00.png").save(root / "cat/x.bmp"),
        {"copies": 2},
        {},
    ),
    "saved again": (
        lambda root: Image.open(root / "cat/00.png").save(root / "cat/x.jpg", quality=70),
        {"near_copies": 2},
        {},
    ),
    "two labels": (
        lambda root: shutil.copy(root / "cat/00.png", root / "dog/x.png"),
        {"copies": 2, "copies_with_two_labels": 2},
        {},
    ),
    "two labels, nearly": (
        lambda root: Image.open(root / "cat/00.png").save(root / "dog/x.jpg", quality=70),
        {"near_copies": 2, "copies_disagree": 2},
        {},
    ),
    "another size": (
        lambda root: [Image.open(file).resize((80, 80)).save(file) for file in sorted((root / "cat").iterdir())],
        {"shortcut": 2},
        {},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_each_thing_is_found_and_nothing_else(case, tmp_path):
    harm, expected, changes = CASES[case]
    write_classes(tmp_path / "set", count=30)
    harm(tmp_path / "set")
    findings = found(tmp_path / "set", **changes)
    assert {name: len(finding.files) for name, finding in findings.items()} == expected
    wrong = [name for name in findings if KINDS[name].severity == Severity.WRONG]
    if wrong:
        with pytest.raises(DataError, match=wrong[0]):
            read_source(settings(tmp_path / "set", **changes))
    else:
        image_set = read_source(settings(tmp_path / "set", **changes))
        assert [finding.name for finding in stored_findings(image_set.check)] == list(findings)


def test_what_is_accepted_goes_on_and_stays_said(tmp_path):
    write_classes(tmp_path / "set")
    put(tmp_path / "set", "cat/00.png", b"")
    image_set = read_source(settings(tmp_path / "set", accept=["unreadable"]))
    assert len(image_set.labels) == 59
    assert [finding.name for finding in stored_findings(image_set.check)] == ["unreadable"]


def test_an_accepted_class_without_images_is_no_class(tmp_path):
    write_classes(tmp_path / "set", classes=("ape", "cat", "dog"))
    for file in (tmp_path / "set/cat").iterdir():
        file.write_bytes(b"")
    image_set = read_source(settings(tmp_path / "set", skip_corrupt=True, accept=["class_left_out"]))
    assert image_set.class_names == ("ape", "dog")
    assert np.bincount(image_set.labels).tolist() == [30, 30]


def test_copies_are_groups_of_the_image_set(tmp_path):
    write_classes(tmp_path / "set")
    shutil.copy(tmp_path / "set/cat/03.png", tmp_path / "set/cat/x.png")
    Image.open(tmp_path / "set/dog/05.png").save(tmp_path / "set/dog/y.jpg", quality=75)
    items = read_source(settings(tmp_path / "set")).items
    groups = items[items["copies"] >= 0].groupby("copies")["name"].apply(list).tolist()
    assert groups == [["cat/03.png", "cat/x.png"], ["dog/05.png", "dog/y.jpg"]]


def test_an_unknown_name_to_accept_is_asked_about():
    with pytest.raises(ParameterError, match=r"'blanc'.* Did you mean 'blank'\?"):
        check_accept(["blanc"])


def test_findings_of_several_sources_name_their_source(tmp_path):
    write_classes(tmp_path / "one")
    write_classes(tmp_path / "two", classes=("ape", "bee"))
    put(tmp_path / "two", "ape/00.png", encoded(blank()))
    image_set = read_source(settings([str(tmp_path / "one"), str(tmp_path / "two")]))
    (finding,) = stored_findings(image_set.check)
    assert finding.files == ("two/ape/00.png",)
    assert finding.message.startswith("two: 1 image")
    assert image_set.check["images"] == 120


def test_files_that_have_not_changed_are_not_looked_at_again(tmp_path, monkeypatch):
    write_classes(tmp_path / "set")
    (tmp_path / "project/data").mkdir(parents=True)
    monkeypatch.setattr(surveys, "in_project", lambda path: tmp_path / "project" / path)
    looked_at = []
    monkeypatch.setattr(
        surveys,
        "survey_image",
        lambda content, backgrounds, inner=surveys.survey_image: (
            looked_at.append(content) or inner(content, backgrounds)
        ),
    )
    put(tmp_path / "set", "cat/00.png", b"")
    first = found(tmp_path / "set")
    assert len(looked_at) == 60
    assert found(tmp_path / "set") == first
    assert len(looked_at) == 60
    photograph(77).save(tmp_path / "set/cat/00.png")
    assert found(tmp_path / "set") == {}
    assert len(looked_at) == 61
    (kept,) = (tmp_path / "project/data/02_intermediate/checks").iterdir()
    kept.write_bytes(kept.read_bytes()[:200])
    assert found(tmp_path / "set") == {}
    assert len(looked_at) == 121


def test_a_check_is_kept_with_its_images(tmp_path):
    from vision_studies.data.image_set import ImageSet

    write_classes(tmp_path / "set")
    put(tmp_path / "set", "cat/00.png", encoded(blank()))
    image_set = read_source(settings(tmp_path / "set"))
    image_set.save(tmp_path / "kept")
    assert ImageSet.open(tmp_path / "kept").check == image_set.check
    assert json.loads((tmp_path / "kept/check.json").read_text()) == image_set.check
