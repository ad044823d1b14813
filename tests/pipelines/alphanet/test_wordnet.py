from collections import deque
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from vision_studies.errors import DataError
from vision_studies.pipelines.alphanet import figures, relations
from vision_studies.pipelines.alphanet.relations import (
    find_wordnet,
    path_distances,
    read_hypernyms,
    read_synsets,
    semantic_neighbours,
    wordnet_or_reason,
)
from vision_studies.pipelines.alphanet.tables import tabulate

# A tree of animals with two ways up from the dog, an instance (the named dog) and a second, separate root.
LICENCE = "  1 A licence, indented by two spaces.  \n  2   \n"
SYNSETS = """\
00000001 03 n 01 entity 0 001 ~ 00000010 n 0000 | what is
00000010 05 n 02 animal 0 beast 1 003 @ 00000001 n 0000 ~ 00000020 n 0000 ~ 00000030 n 0000 | lives | or lived
00000020 05 n 01 carnivore 0 001 @ 00000010 n 0000 | eats meat
00000030 05 n 01 pet 0 002 @ 00000010 n 0000 #m 00000090 n 0000 | lives with people
00000040 05 n 01 feline 0 001 @ 00000020 n 0000 | caf\xe9
00000050 05 n 01 canine 0 001 @ 00000020 n 0000 | like a wolf
00000060 05 n 03 dog 0 domestic_dog 0 hound 1 003 @ 00000050 n 0000 @ 00000030 n 0000 + 00000777 v 0101 | barks
00000070 05 n 01 cat 0 001 @ 00000040 n 0000 | purrs
00000080 05 n 01 Laika 0 001 @i 00000060 n 0000 | flew
00000090 14 n 01 household 0 000 | stands alone
00000100 05 n 0b w1 0 w2 0 w3 0 w4 0 w5 0 w6 0 w7 0 w8 0 w9 0 w10 0 w11 0 001 @ 00000070 n 0000 | eleven words
"""


@pytest.fixture
def noun_file(tmp_path):
    file = tmp_path / "data.noun"
    file.write_bytes((LICENCE + SYNSETS).encode("latin-1"))
    return file


def walk_up(start, hypernyms):
    found, waiting = {start: 0}, deque([start])
    while waiting:
        synset = waiting.popleft()
        for above in hypernyms[synset]:
            if above not in found:
                found[above] = found[synset] + 1
                waiting.append(above)
    return found


def distance_by_hand(first, second, hypernyms):
    one, two = walk_up(first, hypernyms), walk_up(second, hypernyms)
    return min((one[shared] + two[shared] for shared in one.keys() & two.keys()), default=np.inf)


def test_hypernyms_of_classes_and_instances_are_read(noun_file):
    found = read_hypernyms(noun_file)
    assert len(found) == 11
    assert found[60] == [50, 30]
    assert found[80] == [60]
    assert found[1] == found[90] == []
    assert found[100] == [70]


def test_the_shortest_path_goes_over_a_common_hypernym(noun_file):
    hypernyms = read_hypernyms(noun_file)
    distances = path_distances([60, 70, 80, 10, 90, 60], hypernyms)
    assert distances.dtype == np.float32
    assert distances[0].tolist() == [
        0,
        4,
        1,
        2,
        np.inf,
        0,
    ]  # over the pet the dog is two steps from the animal, not three
    assert distances[2].tolist() == [1, 5, 0, 3, np.inf, 1]
    np.testing.assert_array_equal(distances, distances.T)
    every = sorted(hypernyms)
    expected = [[distance_by_hand(a, b, hypernyms) for b in every] for a in every]
    np.testing.assert_array_equal(path_distances(every, hypernyms), expected)


def test_distances_in_a_large_graph_with_many_ways_up():
    generator = np.random.default_rng(0)
    hypernyms = {n: sorted(set(generator.integers(0, n, generator.integers(1, 3)).tolist())) for n in range(1, 300)}
    hypernyms[0] = []
    offsets = generator.choice(300, 40, replace=False).tolist()
    expected = [[distance_by_hand(a, b, hypernyms) for b in offsets] for a in offsets]
    np.testing.assert_array_equal(path_distances(offsets, hypernyms), expected)


def test_a_circle_of_hypernyms_comes_to_an_end():
    assert path_distances([1, 2], {1: [2], 2: [1]}).tolist() == [[0, 1], [1, 0]]


def test_neighbours_are_those_up_to_the_level(noun_file):
    distances = path_distances([60, 70, 80, 90], read_hypernyms(noun_file))
    pairs = semantic_neighbours(distances, 4)
    assert list(zip(pairs["label"], pairs["neighbour"], strict=True)) == [(0, 1), (0, 2), (1, 0), (2, 0)]
    assert len(semantic_neighbours(distances, 5)) == 6
    assert semantic_neighbours(distances, 0).empty
    assert list(semantic_neighbours(path_distances([60, 60], {60: []}), 0)["neighbour"]) == [1, 0]


CLASSES = {"dog": 60, "cat": 70, "Laika": 80, "household": 90}
CHANGED = [(0, 1, 0, 10), (1, 2, 1, 6), (1, 1, 1, 4), (2, 0, 1, 5), (2, 1, 2, 5), (3, 0, 3, 2), (3, 1, 1, 8)]


@pytest.fixture
def wordnet(noun_file, tmp_path, monkeypatch):
    """Makes what the pipeline makes of WordNet, at one level: relations, tables and figures."""
    home = tmp_path / "nltk/corpora/wordnet"
    home.mkdir(parents=True)
    noun_file.rename(home / "data.noun")
    is_file = Path.is_file
    monkeypatch.setattr(Path, "is_file", lambda path: path.is_relative_to(tmp_path) and is_file(path))
    monkeypatch.setenv("NLTK_DATA", str(tmp_path / "nltk"))
    labels = tmp_path / "labels_full.txt"
    labels.write_text("".join(f"n{offset:08d} {name}\n" for name, offset in CLASSES.items()), encoding="utf-8")
    who = {"classifier": "cRT", "experiment": "cRT, rho 1", "repeat": 0}
    columns = ["label", "before", "after", "images"]
    changes = pd.DataFrame([who | dict(zip(columns, row, strict=True)) for row in CHANGED])
    classes = pd.DataFrame({"label": range(4), "name": list(CLASSES), "split": ["few", "many", "few", "medium"]})
    splits = ["few", "medium", "many", "overall"]
    runs = [who | {"baseline": False}, who | {"experiment": "cRT", "baseline": True}]
    accuracies = pd.DataFrame(
        [run | {"split": split, "top_1": 0.5, "top_5": np.nan} for run in runs for split in splits]
    )

    def made(level):
        found = relations.neighbours_by_meaning(labels, list(CLASSES), level)
        related = found.assign(classifier="cRT", kind="semantic")
        _, _, tables = tabulate(accuracies, changes, classes, related)
        drawn = dict(figures._prediction_figures(changes, related, classes, "cRT, rho 1"))
        return found, tables["semantic"].splitlines()[1:], drawn["changes_semantic"]

    return made


@pytest.mark.slow
def test_the_level_decides_table_and_figure_of_neighbours_by_meaning(wordnet):
    found = {level: wordnet(level) for level in (1, 4, 5)}
    assert {level: pairs["distance"].tolist() for level, (pairs, _, _) in found.items()} == {
        1: [1, 1],
        4: [4, 1, 4, 1],
        5: [4, 1, 4, 5, 1, 5],
    }
    # few: dog and Laika; medium: household; many: cat. As their own class or a neighbour's, of 20, 10, 10 and 40 images.
    assert found[1][1] == ["cRT,25.0,0.0,40.0,22.5", '"cRT, rho 1",75.0,20.0,100.0,67.5']
    assert found[4][1] == ["cRT,75.0,0.0,40.0,47.5", '"cRT, rho 1",75.0,20.0,100.0,67.5']
    assert found[5][1] == ["cRT,100.0,0.0,100.0,75.0", '"cRT, rho 1",100.0,20.0,100.0,80.0']
    shown = {level: {text.get_text() for text in figure.axes[0].texts} for level, (_, _, figure) in found.items()}
    before = {1: "5 (12.5 %)", 4: "15 (37.5 %)", 5: "26 (65.0 %)"}
    for level, texts in shown.items():
        assert any(text.startswith(f"wrong, as a neighbour\n{before[level]}") for text in texts), (level, texts)


def test_without_wordnet_there_is_neither_and_the_reason_is_told(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(relations, "find_wordnet", lambda: None)
    found = relations.neighbours_by_meaning(tmp_path / "labels_full.txt", list(CLASSES), 4)
    assert found.empty
    assert list(found) == ["label", "neighbour", "distance"]
    assert "wordnet-base" in caplog.text


def test_a_synset_of_another_version_is_named(noun_file):
    with pytest.raises(DataError, match=r"Synset n00000061 is not in WordNet's data.noun"):
        path_distances([60, 61], read_hypernyms(noun_file))


@pytest.mark.parametrize(
    "line",
    [
        "00000001 03 n 01 entity 0 002 ~ 00000010 n 0000 | a pointer is missing",
        "entity n",
        "00000001 03 n zz entity 0 000 | no number of words",
        "00000001 03 n 01 entity 0 001 @ over n 0000 | no offset",
    ],
)
def test_a_damaged_line_is_named(tmp_path, line):
    file = tmp_path / "data.noun"
    file.write_text(LICENCE + line + "\n")
    with pytest.raises(DataError, match="Line 3 of .*data.noun is not in the format"):
        read_hypernyms(file)


def test_files_that_are_no_wordnet_are_refused(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        read_hypernyms(tmp_path / "absent")
    (tmp_path / "empty").write_text(LICENCE)
    with pytest.raises(DataError, match="holds no synset"):
        read_hypernyms(tmp_path / "empty")


def test_synsets_are_read_in_the_order_of_the_classes(tmp_path):
    file = tmp_path / "labels_full.txt"
    file.write_text("n01440764 tench, Tinca tinca\nn01443537 goldfish, Carassius auratus\nn02084071\tdog, hound\n\n")
    offsets = [1440764, 1443537, 2084071]
    assert read_synsets(file, ["tench", "goldfish, Carassius auratus", "n02084071"]) == offsets
    assert read_synsets(file, ["Tinca_tinca", "Goldfish", "hound"]) == offsets


@pytest.mark.parametrize(
    ("text", "names", "message"),
    [
        ("n01440764 tench\n", ["tench", "goldfish"], "has 1 lines for 2 classes"),
        ("n01440764 tench\n01443537 goldfish\n", ["tench", "goldfish"], "Line 2 of .* is '01443537 goldfish'"),
        ("n01440764 tench\n\n", ["goldfish"], "Line 1 of .* is of 'tench', but the class there is 'goldfish'"),
        ("n01440764 tench, Tinca\n", ["tenc"], "the class there is 'tenc'"),
    ],
)
def test_synsets_that_do_not_fit_the_classes_are_refused(tmp_path, text, names, message):
    file = tmp_path / "labels_full.txt"
    file.write_text(text)
    with pytest.raises(DataError, match=message):
        read_synsets(file, names)


def test_a_list_of_synsets_that_is_no_text_is_refused(tmp_path):
    with pytest.raises(DataError, match="cannot be read as text"):
        read_synsets(tmp_path / "absent", ["tench"])
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="cannot be read as text"):
        read_synsets(tmp_path / "binary", ["tench"])


def test_nltks_corpora_are_searched(tmp_path, monkeypatch):
    is_file = Path.is_file
    monkeypatch.setattr(Path, "is_file", lambda path: path.is_relative_to(tmp_path) and is_file(path))
    monkeypatch.setenv("NLTK_DATA", f"{tmp_path / 'none'}:{tmp_path / 'corpora_home'}")
    assert find_wordnet() is None
    file, reason = wordnet_or_reason()
    assert file is None
    assert "wordnet-base" in reason
    expected = tmp_path / "corpora_home/corpora/wordnet/data.noun"
    expected.parent.mkdir(parents=True)
    expected.write_text(LICENCE)
    assert find_wordnet() == expected
    assert wordnet_or_reason() == (expected, "")


def test_the_home_folder_is_searched(tmp_path, monkeypatch):
    monkeypatch.delenv("NLTK_DATA", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    is_file = Path.is_file
    monkeypatch.setattr(Path, "is_file", lambda path: path.is_relative_to(tmp_path) and is_file(path))
    file = tmp_path / "nltk_data/corpora/wordnet/data.noun"
    file.parent.mkdir(parents=True)
    file.write_text(LICENCE)
    assert find_wordnet() == file


def test_known_distances_in_wordnet_itself():
    file, reason = wordnet_or_reason()
    if file is None:
        pytest.skip(reason)
    hypernyms = read_hypernyms(file)
    dog, cat, wolf = 2084071, 2121620, 2114100
    assert path_distances([dog, cat, wolf], hypernyms).tolist() == [[0, 4, 2], [4, 0, 4], [2, 4, 0]]
    # Path similarities that the NLTK book prints for the right whale are 1 / (1 + distance): 0.25, 0.17, 0.077, 0.043.
    right_whale, minke, orca, tortoise, novel = 2063662, 2065407, 2071294, 1670092, 6367879
    found = path_distances([right_whale, minke, orca, tortoise, novel], hypernyms)[0]
    assert found.tolist() == [0, 3, 5, 12, 22]
    offsets = np.random.default_rng(0).choice(sorted(hypernyms), 30, replace=False).tolist()
    expected = [[distance_by_hand(a, b, hypernyms) for b in offsets] for a in offsets]
    np.testing.assert_array_equal(path_distances(offsets, hypernyms), expected)
