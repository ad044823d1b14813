from vision_studies.studies.runs import Run


def test_fingerprint_ignores_names_and_follows_everything_that_changes_numbers():
    run = Run("p", "s", "v", 0, 0, {"epochs": 1}, "data", 1)
    same = [Run("p", "other", "renamed", 3, 0, {"epochs": 1}, "data", 1)]
    different = [
        Run("q", "s", "v", 0, 0, {"epochs": 1}, "data", 1),
        Run("p", "s", "v", 0, 1, {"epochs": 1}, "data", 1),
        Run("p", "s", "v", 0, 0, {"epochs": 2}, "data", 1),
        Run("p", "s", "v", 0, 0, {"epochs": 1}, "other", 1),
        Run("p", "s", "v", 0, 0, {"epochs": 1}, "data", 2),
    ]
    assert {other.fingerprint for other in same} == {run.fingerprint}
    assert len({run.fingerprint, *(other.fingerprint for other in different)}) == 6
