"""The newest version lies where it always has, earlier ones beside it, and none is lost, copied twice or kept for ever."""

import os
import threading

import pytest

from vision_studies.errors import DataError, StorageError
from vision_studies.versions import Versions, newest_file


def save(versions, version, **files):
    with versions.save(version) as folder:
        for name, content in files.items():
            path = folder / name.replace("__", "/").replace("_", ".")
            path.parent.mkdir(exist_ok=True)
            path.write_text(content)


def contents(folder):
    return {
        str(file.relative_to(folder)): file.read_text()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.name != ".lock"
    }


@pytest.fixture
def card(tmp_path):
    return Versions.of_file(tmp_path / "card.json")


@pytest.fixture
def figures(tmp_path):
    return Versions.of_files(tmp_path / "figures", ".png")


def test_the_newest_lies_at_its_path_and_all_beside_it(tmp_path, card):
    save(card, "1", card_json="one")
    save(card, "2", card_json="two")
    assert contents(tmp_path) == {
        "card.json": "two",
        ".versions/card.json/1/card.json": "one",
        ".versions/card.json/2/card.json": "two",
    }
    assert (card.names(), card.newest()) == (["2", "1"], tmp_path / "card.json")
    assert card.find("1").read_text() == "one"
    assert [card.is_newest(version) for version in ("2", "1")] == [True, False]
    assert card.described("1")[1] == 3


def test_what_is_the_same_makes_no_version_and_keeps_its_time(tmp_path, card, figures):
    for version in ("1", "2"):
        save(card, version, card_json="one")
        save(figures, version, a_png="a", more__b_png="b")
        os.utime(tmp_path / "card.json", (1, 1))
        os.utime(tmp_path / "figures/a.png", (1, 1))
    assert (card.names(), figures.names()) == (["1"], ["1"])
    assert (tmp_path / "card.json").stat().st_mtime == (tmp_path / "figures/a.png").stat().st_mtime == 1


def test_what_was_changed_or_deleted_by_hand_comes_back_without_a_new_version(tmp_path, card):
    save(card, "1", card_json="one")
    (tmp_path / "card.json").write_text("by hand")
    assert card.find("1").read_text() == "one"  # no hand reaches it
    save(card, "2", card_json="one")
    assert (card.names(), (tmp_path / "card.json").read_text()) == (["1"], "one")
    (tmp_path / "card.json").unlink()
    save(card, "3", card_json="one")
    assert (card.names(), (tmp_path / "card.json").read_text()) == (["1"], "one")


def test_files_that_are_saved_together_replace_all_that_were_there(tmp_path, figures):
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures/table.csv").write_text("of another data set")
    save(figures, "1", a_png="a", old__b_png="b")
    save(figures, "2", a_png="a", c_png="c")
    assert contents(tmp_path / "figures") == {"a.png": "a", "c.png": "c", "table.csv": "of another data set"}
    assert not (tmp_path / "figures/old").exists()
    kept = tmp_path / ".versions/figures.png"
    assert contents(kept / "1") == {"a.png": "a", "old/b.png": "b"}
    assert contents(kept / "2") == {"a.png": "a", "c.png": "c"}
    assert (kept / "1/a.png").samefile(kept / "2/a.png")  # which takes no room twice
    assert not (kept / "2/a.png").samefile(tmp_path / "figures/a.png")
    save(figures, "3")
    assert contents(tmp_path / "figures") == {"table.csv": "of another data set"}
    save(figures, "4")
    assert figures.names() == ["3", "2", "1"]


def test_files_beside_the_first_go_with_it(tmp_path):
    both = Versions.of_file(tmp_path / "results.parquet", "results.json")
    save(both, "1", results_parquet="1", results_json="one")
    save(both, "2", results_parquet="2", results_json="two")
    both.restore("1", "3")
    assert {name: (tmp_path / name).read_text() for name in ("results.parquet", "results.json")} == {
        "results.parquet": "1",
        "results.json": "one",
    }


def test_restoring_makes_a_new_version_and_changes_no_other(tmp_path, card):
    save(card, "1", card_json="one")
    save(card, "2", card_json="two")
    card.restore("1", "3")
    assert [card.find(version).read_text() for version in card.names()] == ["one", "two", "one"]
    assert (tmp_path / "card.json").read_text() == "one"
    card.restore("3", "4")  # which is the newest
    assert card.names() == ["3", "2", "1"]


@pytest.mark.parametrize("version", ["9", "..", "../card.json", ".lock", ""])
def test_a_version_that_is_gone_is_told_with_those_that_are_there(tmp_path, card, version):
    with pytest.raises(DataError, match=r"There is no version '.*' of .*card\.json; there is none"):
        card.find(version)
    save(card, "1", card_json="one")
    with pytest.raises(DataError, match=r"card\.json; there are 1 \(`kedro versions list`"):
        card.restore(version, "2")
    assert (card.names(), (tmp_path / "card.json").read_text()) == (["1"], "one")


def test_what_no_version_holds_becomes_one_before_it_is_replaced(tmp_path, card, figures):
    (tmp_path / "card.json").write_text("of another machine")
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures/a.png").write_text("of an earlier release")
    for path in (tmp_path / "card.json", tmp_path / "figures/a.png"):
        os.utime(path, (1_700_000_000, 1_700_000_000.25))
    save(card, "2026-01-01T00.00.00.000Z", card_json="mine")
    save(figures, "2026-01-01T00.00.00.000Z", b_png="b")
    for versions in (card, figures):
        assert versions.names() == ["2026-01-01T00.00.00.000Z", "2023-11-14T22.13.20.250Z"]
    assert card.find("2023-11-14T22.13.20.250Z").read_text() == "of another machine"
    assert contents(figures.find("2023-11-14T22.13.20.250Z")) == {"a.png": "of an earlier release"}


def test_the_layout_of_earlier_releases_is_read_and_taken_over(tmp_path, card):
    for version in ("1", "2"):
        (tmp_path / "card.json" / version).mkdir(parents=True)
        (tmp_path / "card.json" / version / "card.json").write_text(version)
    assert newest_file(tmp_path / "card.json").read_text() == card.newest().read_text() == "2"
    save(card, "3", card_json="2")  # as it was
    assert (card.names(), (tmp_path / "card.json").read_text()) == (["2", "1"], "2")
    save(card, "4", card_json="4")
    assert [card.find(version).read_text() for version in card.names()] == ["4", "2", "1"]
    assert newest_file(tmp_path / "none") is None


def test_the_oldest_are_superfluous_and_never_that_which_lies_at_the_path(card):
    for version in "12345":
        save(card, version, card_json=version)
    assert (card.superfluous(3), card.superfluous(9)) == (["2", "1"], [])
    (card.root / "card.json").write_text("1")
    assert card.superfluous(3) == ["2"]
    card.remove(card.superfluous(3))
    assert card.names() == ["5", "4", "3", "1"]


def test_without_a_name_nothing_is_kept(tmp_path, card):
    save(card, None, card_json="one")
    save(card, None, card_json="two")
    assert contents(tmp_path) == {"card.json": "two"}


def test_a_save_that_fails_leaves_everything_as_it_was(tmp_path, card):
    save(card, "1", card_json="one")
    with pytest.raises(RuntimeError, match="no luck"), card.save("2") as folder:
        (folder / "card.json").write_text("half")
        raise RuntimeError("no luck")
    assert contents(tmp_path) == {"card.json": "one", ".versions/card.json/1/card.json": "one"}
    with pytest.raises(StorageError, match="disk is full"), card.save("2") as folder:
        raise OSError(28, "No space left on device")
    assert card.names() == ["1"]


def test_many_at_once_leave_every_version_and_one_whole_newest(tmp_path, figures):
    def work(number):
        for turn in range(5):
            save(figures, f"{number}-{turn}", **{f"a{number}_png": str(turn), f"b{number}_png": str(turn)})

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(figures.names()) == 20
    assert [version for version in figures.names() if figures.is_newest(version)]
    assert len(contents(tmp_path / "figures")) == 2


def test_a_file_system_without_links_keeps_versions_just_so(tmp_path, figures, monkeypatch):
    def refuse(*_):
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    save(figures, "1", a_png="a", b_png="b")
    save(figures, "2", a_png="a", b_png="c")
    assert [contents(figures.find(version)) for version in ("1", "2")] == [
        {"a.png": "a", "b.png": "b"},
        {"a.png": "a", "b.png": "c"},
    ]
