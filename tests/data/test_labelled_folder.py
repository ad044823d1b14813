import pytest
from PIL import Image

from vision_studies.data.image_source import open_labelled
from vision_studies.errors import DataError

CLASSES = ("dog", "cat", "horse")


def put(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (2, 2)).save(folder / name)


def test_classes_are_matched_by_name_in_the_order_of_the_network_and_may_be_missing(tmp_path):
    put(tmp_path, "cat/2.png", "cat/more/1.png", "dog/9.png", ".hidden/1.png")
    (tmp_path / "notes").mkdir()
    source, labels = open_labelled(tmp_path, CLASSES)
    assert source.names == ["dog/9.png", "cat/2.png", "cat/more/1.png"]
    assert labels.tolist() == [0, 1, 1]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["dgo/1.png", "cat/1.png"], r"the folder 'dgo', which is no class of the model. Did you mean 'dog'\?"),
        (["ant/1.png", "bee/1.png"], r"'ant' \(and 1 more that it does not know\).*Its classes are dog, cat, horse"),
        (["test/dog/1.png", "train/dog/1.png"], r"is divided into splits; name the one to score on.*test"),
        (["1.png"], "has no folders with images"),
    ],
)
def test_what_does_not_fit_is_told(tmp_path, names, message):
    put(tmp_path, *names)
    with pytest.raises(DataError, match=message):
        open_labelled(tmp_path, CLASSES)


def test_a_file_is_no_folder(tmp_path):
    put(tmp_path, "1.png")
    with pytest.raises(DataError, match="is no folder"):
        open_labelled(tmp_path / "1.png", CLASSES)
