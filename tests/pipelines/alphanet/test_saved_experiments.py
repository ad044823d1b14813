import pandas as pd
import pytest

from vision_studies.errors import DataError
from vision_studies.pipelines.alphanet.saved_experiments import read_experiments

ROW = {
    "classifier": "crt",
    "experiment": "crt, rho 0.5",
    "baseline": False,
    "rho": 0.5,
    "neighbours": 5.0,
    "distance": "cosine",
    "repeat": 1,
    "split": "few",
    "top_1": 0.25,
    "top_5": float("nan"),
}
BASELINE = ROW | {"experiment": "NA", "baseline": True, "rho": None, "neighbours": None, "distance": None, "top_1": 1.0}


def saved(path, *rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pd.DataFrame(list(rows))
    if path.suffix == ".csv":
        table.to_csv(path, index=False)
    else:
        table.to_parquet(path)
    return path


def test_files_of_both_kinds_become_one_table(tmp_path):
    first = saved(tmp_path / "imagenet/accuracies.csv", ROW, BASELINE)
    second = saved(tmp_path / "places/accuracies.parquet", ROW)
    table = read_experiments([first, second])
    assert table.columns.tolist() == ["data", *ROW]
    assert table["data"].tolist() == ["imagenet", "imagenet", "places"]
    assert table["experiment"].tolist() == ["crt, rho 0.5", "NA", "crt, rho 0.5"]
    assert table["baseline"].tolist() == [False, True, False]
    assert table["distance"].tolist()[::2] == ["cosine", "cosine"]
    assert pd.isna(table["distance"][1])
    assert table["top_1"].tolist() == [0.25, 1.0, 0.25]
    assert table["top_5"].isna().all()


def test_a_study_is_named_by_its_place_in_the_layout_or_as_wanted(tmp_path):
    folder = tmp_path / "07_model_output/my_study/alphanet/accuracies.csv/version"
    file = saved(folder / "accuracies.csv", ROW)
    assert set(read_experiments([file])["data"]) == {"my_study"}
    assert set(read_experiments([file], names=["ImageNet-LT"])["data"]) == {"ImageNet-LT"}
    named = saved(tmp_path / "joined.csv", ROW | {"data": "a"}, ROW | {"data": "b"})
    assert read_experiments([named, file])["data"].tolist() == ["a", "b", "my_study"]


def test_files_of_one_name_are_refused(tmp_path):
    files = [saved(tmp_path / name, ROW) for name in ("a.csv", "b.csv")]
    with pytest.raises(DataError, match=r"a\.csv and .*b\.csv are both named"):
        read_experiments(files)
    assert read_experiments(files, names=["a", "b"])["data"].tolist() == ["a", "b"]
    with pytest.raises(DataError, match="2 files of accuracies but 1 names"):
        read_experiments(files, names=["a"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"top_1": 47.6}, "Column 'top_1' of .* divide percentages by 100"),
        ({"top_5": "high"}, "Column 'top_5' of .* no float64 value"),
        ({"baseline": "perhaps"}, "Column 'baseline' of"),
    ],
)
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_wrong_values_are_refused(tmp_path, changes, message, suffix):
    with pytest.raises(DataError, match=message):
        read_experiments([saved(tmp_path / f"x.{suffix}", ROW | changes)])


def test_what_is_no_table_of_accuracies_is_refused(tmp_path):
    with pytest.raises(DataError, match="No file of accuracies"):
        read_experiments([])
    with pytest.raises(DataError, match="is not there"):
        read_experiments([tmp_path / "x.csv"])
    lacking = saved(tmp_path / "lacking.csv", {name: value for name, value in ROW.items() if name != "rho"})
    with pytest.raises(DataError, match="has no column 'rho'"):
        read_experiments([lacking])
    (tmp_path / "x.parquet").write_bytes(b"not a table")
    (tmp_path / "empty.csv").write_bytes(b"")
    for name in ("x.parquet", "empty.csv"):
        with pytest.raises(DataError, match="cannot be read as a table"):
            read_experiments([tmp_path / name])
    with pytest.raises(DataError, match="neither"):
        read_experiments([saved(tmp_path / "x.csv", ROW).rename(tmp_path / "x.pkl")])
    pd.DataFrame(columns=list(ROW)).to_csv(tmp_path / "none.csv", index=False)
    with pytest.raises(DataError, match="has no rows"):
        read_experiments([tmp_path / "none.csv"])
