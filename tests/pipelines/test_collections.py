"""What a collection of studies leaves besides its studies."""

from vision_studies.pipelines.reporting.collection import gather_tables


def write(reports, path, text="a"):
    file = reports / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


def test_tables_that_are_called_after_their_studies_stand_in_one_folder(tmp_path):
    write(tmp_path, "alpha+demo/stacking/tables/alpha+demo_table.tex", "first")
    write(tmp_path, "alpha+demo/stacking/tables/efficiency_metrics.tex")
    write(tmp_path, "init+demo/stacking/tables/init+demo_report.md")
    write(tmp_path, "another/stacking/tables/another_table.tex")
    studies = ["alpha+demo", "init+demo", "never_run"]
    folder = gather_tables(tmp_path, "all+demo", studies)
    assert folder == tmp_path / "all+demo/tables"
    assert sorted(file.name for file in folder.iterdir()) == ["alpha+demo_table.tex", "init+demo_report.md"]
    kept = (folder / "init+demo_report.md").stat()
    write(tmp_path, "alpha+demo/stacking/tables/alpha+demo_table.tex", "second")
    gather_tables(tmp_path, "all+demo", studies)
    assert (folder / "alpha+demo_table.tex").read_text(encoding="utf-8") == "second"
    assert (folder / "init+demo_report.md").stat() == kept  # what is the same is not written again


def test_a_collection_without_tables_gets_no_folder(tmp_path):
    assert gather_tables(tmp_path, "all", ["alpha"]) is None
    assert list(tmp_path.iterdir()) == []
