"""What a model, an augmentation or a metric leaves out is named when its file is imported."""

import ast
import tempfile
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest
from pydantic import TypeAdapter
from tests.extending.conftest import FOLDER

from vision_studies.models.architectures.resnet9 import ResNet9Settings
from vision_studies.settings_base import one_of

MODEL = ("presets", "named_by", "images_at_first", "build", "widened", "logit_scale", "freezable_blocks")


def without(toy: str, answer: str) -> str:
    """Source of a toy whose class lacks a method, a class variable, its `name` or its `docstring`."""
    tree = ast.parse((FOLDER / f"{toy}.py").read_text(encoding="utf-8"))
    [kind] = (node for node in tree.body if isinstance(node, ast.ClassDef))
    before = len(kind.body)
    kind.body = [node for node in kind.body if answer not in (names_of(node))]
    assert len(kind.body) == before - 1
    return ast.unparse(tree)


def imported(folder: Path, name: str, source: str) -> ModuleType:
    """The module that a file with this source gives.

    The folder is a new one each time: kept bytecode of another source of the same length and second would be taken for it.
    """
    folder = Path(tempfile.mkdtemp(dir=folder))
    (folder / f"{name}.py").write_text(source, encoding="utf-8")
    specification = spec_from_file_location(name, folder / f"{name}.py")
    module = module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def names_of(node: ast.stmt) -> list[str]:
    match node:
        case ast.FunctionDef(name=name) | ast.AnnAssign(target=ast.Name(id=name)):
            return [name]
        case ast.Expr(value=ast.Constant()):
            return ["docstring"]
    return []


@pytest.mark.parametrize(
    ("toy", "family", "answer"),
    [
        *(("toy_model", "Architecture", answer) for answer in (*MODEL, "name", "docstring")),
        *(("toy_augmentation", "AugmentationStep", answer) for answer in ("build", "name", "docstring")),
    ],
)
def test_a_missing_answer_is_named(tmp_path, toy, family, answer):
    told = rf"leaves out (a )?{answer}\b.*; every kind of {family} must say so: see vision_studies\."
    with pytest.raises(TypeError, match=told):
        imported(tmp_path, toy, without(toy, answer))


def test_all_missing_answers_are_named_at_once(tmp_path):
    source = without("toy_model", "widened")
    with pytest.raises(TypeError, match="toys.ToyPerceptronSettings leaves out images_at_first, widened;"):
        imported(tmp_path, "toys", source.replace("images_at_first: ClassVar = 0", ""))


@pytest.mark.parametrize("toy", ["toy_model", "toy_augmentation"])
def test_a_whole_kind_is_imported_without_a_word(tmp_path, toy):
    imported(tmp_path, toy, (FOLDER / f"{toy}.py").read_text(encoding="utf-8"))


def test_a_metric_without_an_answer_is_refused(tmp_path):
    tree = ast.parse((FOLDER / "toy_metric.py").read_text(encoding="utf-8"))
    call = tree.body[-1].value
    assert len(call.keywords) == 10
    for keyword in list(call.keywords):
        call.keywords.remove(keyword)
        with pytest.raises(TypeError, match=f"missing 1 required keyword-only argument: '{keyword.arg}'"):
            imported(tmp_path, "toy_metric", ast.unparse(tree))
        call.keywords.append(keyword)


def test_two_kinds_of_one_name_are_refused(tmp_path):
    source = (FOLDER / "toy_model.py").read_text(encoding="utf-8").replace('"toy_perceptron"', '"resnet9"')
    toy = imported(tmp_path, "toy", source).ToyPerceptronSettings
    with pytest.raises(TypeError, match="'resnet9' for discriminator 'name' mapped to multiple choices"):
        TypeAdapter(one_of([ResNet9Settings, toy]))
