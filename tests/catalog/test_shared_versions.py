from kedro.io import Version

from vision_studies.catalog.atomic import JSONDataset


def dataset(folder, version):
    return JSONDataset(filepath=str(folder / "card.json"), version=Version(None, version))


def test_two_processes_may_save_one_version_and_each_goes_on_with_its_own(tmp_path):
    first, second, later = dataset(tmp_path, "1"), dataset(tmp_path, "1"), dataset(tmp_path, "2")
    later.save({"by": "later"})
    first.save({"by": "first"})  # without the warning that a later version is there
    second.save({"by": "second"})
    assert first.load() == second.load() == {"by": "second"}
    assert later.load() == dataset(tmp_path, None).load() == {"by": "later"}
