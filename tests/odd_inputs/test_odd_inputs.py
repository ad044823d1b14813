"""What is found in images as they lie on people's disks, and what data are made of them."""

import numpy as np
import pytest
from tests.odd_inputs.cases import CASES
from tests.odd_inputs.examine import LEAVE_OUT, findings_of, prepared, settings
from tests.odd_inputs.trees import put

from vision_studies.data.checks.findings import KINDS, Severity
from vision_studies.errors import DataError


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_is_found_and_what_data_result(case, tmp_path):
    if not case.only_where():
        pytest.skip("cannot be tried here")
    folder = put(case.lies(), tmp_path / "data")
    case.then(folder)
    chosen = settings(folder / case.source, **case.parameters)
    if case.refused:
        with pytest.raises(DataError, match=case.refused) as refused:
            prepared(chosen)
        assert "\n" not in str(refused.value)
        assert str(tmp_path) in str(refused.value) or case.source in str(refused.value)
    if not case.findings and case.counts is None:
        with pytest.raises(DataError, match=case.refused):
            findings_of(chosen)
        return
    found = findings_of(chosen)
    assert sorted({finding.name for finding in found}) == sorted(case.findings)
    assert any(finding.kind.severity == Severity.WRONG for finding in found) == bool(case.refused)
    if case.counts is None:
        return
    mended = settings(folder / case.source, **{**case.parameters, **case.mend})
    image_set, splits = prepared(mended)
    left_out = {file for finding in findings_of(mended) if finding.name in LEAVE_OUT for file in finding.files}
    assert len(left_out) == case.named
    case.seen(image_set)
    assert image_set.class_names == tuple(sorted(case.counts))
    agree(image_set, splits, case)


def agree(image_set, splits, case):
    """Every image is in one split, each class has something to train on, and as many are where the source says."""
    counts = case.counts
    together = np.concatenate([splits.train, splits.validation, splits.test])
    assert len(np.unique(together)) == len(together) == len(image_set.labels) - case.untrained
    for label, name in enumerate(image_set.class_names):
        expected = counts[name]
        of_class = [
            int((image_set.labels[part] == label).sum()) for part in (splits.train, splits.validation, splits.test)
        ]
        assert of_class[0] > 0
        if isinstance(expected, int):
            assert sum(of_class) == expected
        else:
            assert [own for own, wanted in zip(of_class, expected, strict=True) if wanted >= 0] == [
                wanted for wanted in expected if wanted >= 0
            ]


def test_every_kind_of_finding_has_a_case():
    assert {name for case in CASES for name in case.findings} == set(KINDS)


def test_there_are_many_cases_and_no_two_of_one_name():
    assert len(CASES) >= 80
    assert len({case.name for case in CASES}) == len(CASES)
