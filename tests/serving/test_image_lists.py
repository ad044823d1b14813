"""Images that are named one by one."""

import io
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from vision_studies.data.sources.decoding import Decoding
from vision_studies.errors import DataError
from vision_studies.serving.image_lists import open_paths, open_table


@pytest.fixture
def folder(tmp_path):
    for number in range(3):
        Image.new("L", (4, 4), 100 * number).save(tmp_path / f"{number}.png")
    return tmp_path


def levels(source):
    [batch] = source.batches(8, decoding=Decoding(4), channels=1)
    return {
        source.names[place]: int(image[0, 0, 0]) for place, image in zip(batch.positions, batch.images, strict=True)
    }


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "parquet"])
def test_a_table_names_images_relative_to_itself(folder, ending):
    table = pd.DataFrame({"note": ["x", "y"], "path": ["2.png", "1.png"]})
    file = folder / f"list.{ending}"
    if ending == "parquet":
        table.to_parquet(file)
    elif ending == "jsonl":
        table.to_json(file, orient="records", lines=True)
    else:
        table.to_csv(file, index=False, sep="\t" if ending == "tsv" else ",")
    assert levels(open_table(file)) == {"2.png": 200, "1.png": 100}


def test_images_within_a_table_are_called_by_their_path_or_row(folder):
    bytes_of = [(folder / f"{number}.png").read_bytes() for number in range(2)]
    pd.DataFrame({"image": [{"bytes": bytes_of[1], "path": "b.png"}, {"bytes": bytes_of[0], "path": None}]}).to_parquet(
        folder / "packed.parquet"
    )
    assert levels(open_table(folder / "packed.parquet")) == {"b.png": 100, "row 2": 0}


def test_a_column_can_be_named_and_otherwise_must_be_clear(folder):
    file = folder / "list.csv"
    file.write_text("before,after\n0.png,1.png\n")
    assert levels(open_table(file, "after")) == {"1.png": 100}
    with pytest.raises(DataError, match="here --column names it"):
        open_table(file)
    with pytest.raises(
        DataError, match=r"no column 'aftr', which --column names. Did you mean 'after'\? It has before, after"
    ):
        open_table(file, "aftr")
    file.write_text("path\n")
    with pytest.raises(DataError, match="has no rows"):
        open_table(file)
    with pytest.raises(DataError, match="does not exist"):
        open_table(folder / "none.csv")


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\0"])
def test_paths_come_line_by_line_or_as_find_ends_them(folder, end, monkeypatch):
    monkeypatch.chdir(folder)
    source = open_paths(io.BytesIO(end.join([b"1.png", b"gone.png", b"2.png", b""])))
    assert levels(source) == {"1.png": 100, "2.png": 200}
    [batch] = source.batches(8, decoding=Decoding(4), channels=1)
    assert batch.corrupt == {1: "no file"}
    assert open_paths([b"\xff.png\n"]).content == [Path("\udcff.png")]  # names need not be text
    with pytest.raises(DataError, match="No path came on standard input"):
        open_paths(io.BytesIO(b"\n \n"))
