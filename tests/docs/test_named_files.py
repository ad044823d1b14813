"""Files, modules and tests that texts name are there."""

import re

import pytest
from tests.conftest import ROOT

PACKAGE = ROOT / "src/vision_studies"
TEXTS = sorted(
    path
    for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *PACKAGE.glob("**/*.md"), ROOT / "mkdocs.yml"]
    if path.name != "CHANGELOG.md"  # which tells of what was
)
ADDED = ("vision_studies.models.architectures.toy_model", "vision_studies.pipelines.class_means.settings")
"""What a reader of "Add a ..." is about to write."""


def is_there(dotted: str) -> bool:
    path = ROOT.joinpath("src", *dotted.split("."))
    if path.with_suffix(".py").is_file() or path.is_dir():
        return True
    name = path.name
    file = path.parent.with_suffix(".py") if path.parent.with_suffix(".py").is_file() else path.parent / "__init__.py"
    return (
        file.is_file()
        and re.search(rf"^(class|def|async def)? ?{name}\b", file.read_text(encoding="utf-8"), re.M) is not None
    )


def missing_in(text: str) -> set[str]:
    dotted = {name for name in re.findall(r"vision_studies(?:\.[A-Za-z_]\w*)+", text) if not is_there(name)}
    paths = re.findall(r"`((?:src|tests|scripts|benchmarks)/[\w/.]+)`", text)
    in_package = [name for name in re.findall(r"`((?:\w+/)+\w+\.py)`", text) if (PACKAGE / name.split("/")[0]).is_dir()]
    tests = {name for name in re.findall(r"`(test_\w+\.py)`", text) if not list((ROOT / "tests").rglob(name))}
    gone = {name for name in paths if not (ROOT / name).exists()}
    return dotted | gone | tests | {name for name in in_package if not (PACKAGE / name).exists()}


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_a_text_names_is_there(path):
    missing = missing_in(path.read_text(encoding="utf-8"))
    assert {name for name in missing if not name.startswith(ADDED)} == set()


def test_what_is_not_there_is_found():
    text = "`vision_studies.training.fit.fit` `src/vision_studies/files.py` `training/fit.py` `test_named_files.py`"
    assert missing_in(text) == set()
    wrong = "vision_studies.training.fit.unfit `src/vision_studies/pile.py` `training/unfit.py` `test_unnamed_files.py`"
    assert len(missing_in(wrong)) == 4
