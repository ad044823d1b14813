import ast
import re
import subprocess
import sys
from collections import Counter
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from tests.conftest import ROOT

from vision_studies.config.registry import METHODS

PACKAGE = ROOT / "src/vision_studies"
LEAVES = {
    "costs",
    "errors",
    "fetching",
    "files",
    "outcomes",
    "predictions",
    "processors",
    "page_theme",
    "project_folders",
    "run_folders",
    "stored_predictions",
    "stored_tables",
    "torchvision_compat",
    "versions",
}
SETTINGS = {"settings_base", "config"}
METRICS = {"statistics.calibration", "statistics.metrics"}
BELOW_TRAINING = LEAVES | SETTINGS | METRICS | {"augmentation", "models", "storage", "data"}
BELOW_STUDIES = BELOW_TRAINING | {"statistics", "training"}
MAY_IMPORT = {
    "costs": {"errors", "files"},
    "errors": set(),
    "fetching": LEAVES,
    "files": LEAVES,
    "outcomes": {"predictions"},
    "predictions": set(),
    "page_theme": set(),
    "processors": set(),
    "project_folders": set(),
    "run_folders": LEAVES,
    "stored_predictions": LEAVES,
    "stored_tables": LEAVES,
    "torchvision_compat": set(),
    "versions": LEAVES,
    "missing_project": {"project_folders"},
    "settings_base": set(),
    "storage": LEAVES,
    "augmentation": LEAVES | {"settings_base"},
    "models": LEAVES | {"settings_base"},
    "config": LEAVES | {"settings_base", "augmentation", "models"},
    "statistics.calibration": set(),
    "statistics.metrics": {"statistics.calibration"},
    "statistics": LEAVES | METRICS,
    "figures": LEAVES,
    "classifiers": LEAVES | METRICS,
    "reports": LEAVES | METRICS | {"statistics"},
    "data": LEAVES | SETTINGS | {"augmentation", "storage"},
    "training": BELOW_TRAINING | {"statistics"},
    "studies": BELOW_STUDIES,
    "serving": BELOW_STUDIES | {"studies"},
    "tracking": SETTINGS | LEAVES | METRICS | {"studies"},
}
MAY_IMPORT_KEDRO = {"pipelines", "catalog", "hooks", "settings", "pipeline_registry", "cli", "notebook"}
GRAPHS = {"__init__.py", "pipeline.py", "method_pipeline.py"}
"""Files of `pipelines` that import Kedro, those of a method only where a type is checked; no other may."""
REGISTERED = {"AugmentationStep"}  # classes of which all are looked up by their base
READ_BY_KEDRO = {"register_pipelines", "HOOKS", "CONFIG_LOADER_CLASS"}
WITHOUT = {
    "confidence": {
        ("run_comparison.py", "compare_metrics"),  # of runs of several studies
        ("rankings.py", "describe"),  # whose intervals are not used there
    },
    "interval": {
        ("run_comparison.py", "compare_metrics"),
        ("rankings.py", "describe"),
        ("ranking_texts.py", "describe"),
        ("model_card.py", "summary"),  # of a model, which belongs to no study's report
        # Corrected intervals of differences are those of the method's own test, or p and interval would contradict each other.
        ("rankings.py", "corrected_comparisons"),
        ("long_tail.py", "corrected_comparisons"),
        ("trade_offs.py", "corrected_comparisons"),
    },
}
"""Calls that leave the study's confidence, or its kind of interval, to a default, each for a reason."""
LAYERS = ["01_raw", "02_intermediate", "03_primary", "04_feature", "05_model_input", "06_models", "07_model_output"]


@cache
def modules():
    return sorted(PACKAGE.rglob("*.py"))


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def walked(path: Path) -> list[ast.AST]:
    """All nodes of a module, which many tests look through."""
    return list(ast.walk(parsed(path)))


def part(path: Path) -> str:
    return part_of(".".join(path.relative_to(PACKAGE).with_suffix("").parts))


def part_of(name: str) -> str:
    """The part with a rule of its own that a dotted name below the package belongs to: the longest there is."""
    words = name.split(".")
    starts = [".".join(words[:length]) for length in range(len(words), 0, -1)]
    return next((start for start in starts if start in MAY_IMPORT), words[0])


def imported(path: Path) -> set[str]:
    names = set()
    for node in walked(path):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute here"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_parts_import_only_what_stands_below_them(path):
    own = part(path)
    if own in MAY_IMPORT:
        names = [name.removeprefix("vision_studies.") for name in imported(path) if name.startswith("vision_studies.")]
        ours = {part_of(name) for name in names}
        assert ours - {own} <= MAY_IMPORT[own]
    if own not in MAY_IMPORT_KEDRO or (own == "pipelines" and path.name not in GRAPHS):
        assert not {name for name in imported(path) if name.split(".")[0] in ("kedro", "kedro_datasets", "kedro_viz")}


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")


def test_no_modules_import_each_other():
    names = {name_of(path) for path in modules()}
    graph = {}
    for path in modules():
        # `from package import name` is of the module of that name, where there is one.
        within = {name if name in names else name.rpartition(".")[0] for name in imported(path)}
        graph[name_of(path)] = within & names - {name_of(path)}
    TopologicalSorter(graph).prepare()  # which tells of a circle


def test_every_part_has_its_rule():
    parts = {part(path) for path in modules()} - {"__init__"}
    assert parts == set(MAY_IMPORT) | MAY_IMPORT_KEDRO


def test_the_house_stands_as_it_was_drawn():
    for folder in ("conf/base", "conf/demo", "conf/local", "benchmarks/results", "docs", "tests", ".ci"):
        assert (ROOT / folder).is_dir(), folder
    for layer in [*LAYERS, "08_reporting"]:
        assert (ROOT / "data" / layer / ".gitkeep").is_file(), layer
    for pipeline in (PACKAGE / "pipelines").iterdir():
        if pipeline.is_dir() and pipeline.name != "__pycache__":
            graph = "method.py" if pipeline.name in METHODS else "pipeline.py"
            assert {graph, "nodes.py", "README.md"} <= {file.name for file in pipeline.iterdir()}, pipeline
            assert (ROOT / f"conf/base/parameters_{pipeline.name}.yml").is_file()


@pytest.mark.slow
def test_methods_can_be_used_without_kedro():
    script = "import importlib, sys\n" + "".join(
        f"for part in ('method', 'stages'): importlib.import_module('vision_studies.pipelines.{name}.' + part)\n"
        f"print('{name}', sorted({{'kedro', 'kedro_datasets', 'kedro_viz'}} & set(sys.modules)))\n"
        for name in METHODS
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.splitlines() == [f"{name} []" for name in METHODS]


@pytest.mark.slow
def test_starting_a_command_does_not_import_torch():
    script = (
        "import sys, vision_studies.settings, vision_studies.hooks, vision_studies.cli, vision_studies.pipeline_registry\n"
        "import vision_studies.pipelines.data_prep, vision_studies.pipelines.cifar_resnet\n"
        "import vision_studies.pipelines.reporting, vision_studies.pipelines.cifar_resnet.settings\n"
        "print(sorted({'torch', 'sklearn', 'ffcv', 'torchvision'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def words_in(text: str) -> Counter[str]:
    return Counter(re.findall(r"\w+", text))


def defined(text: str) -> dict[str, ast.AST]:
    """Functions, classes and constants of a module by their names, without those that a decorator or a base registers."""
    names: dict[str, ast.AST] = {}
    for node in ast.parse(text).body:
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {target.id: node for target in targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.decorator_list:
            bases = {ast.unparse(base) for base in getattr(node, "bases", [])}
            names |= {} if REGISTERED & bases else {node.name: node}
    return names


def test_nothing_is_there_for_the_tests_alone():
    # A function that nothing calls is a promise that nobody keeps: the check of the learning curve was one.
    texts = {path: path.read_text(encoding="utf-8") for path in modules()}
    patterns = [
        "README.md",
        "docs/**/*.md",
        "conf/**/*.yml",
        "notebooks/*.ipynb",
        "pyproject.toml",
        "benchmarks/*.py",
        "scripts/**/*.py",
    ]
    users = [path.read_text(encoding="utf-8") for pattern in patterns for path in ROOT.glob(pattern)]
    outside = READ_BY_KEDRO.union(*map(words_in, users))
    named = words_in(" ".join(texts.values()))
    unused = [
        f"{path.relative_to(PACKAGE)}: {name}"
        for path, text in texts.items()
        for name, node in defined(text).items()
        if name not in outside
        and named[name] == words_in(" ".join(text.splitlines()[node.lineno - 1 : node.end_lineno]))[name]
    ]
    assert unused == []


def parameters(function: ast.FunctionDef) -> list[str]:
    names = [argument.arg for argument in (*function.args.posonlyargs, *function.args.args)]
    return [name for name in names if name not in ("self", "cls")] + [
        argument.arg for argument in function.args.kwonlyargs
    ]


@pytest.mark.parametrize("parameter", WITHOUT)
def test_every_interval_is_as_the_study_asks_for(parameter):
    # A default is for a notebook: within the program it would hide what somebody forgot to hand on from `reporting`.
    functions = [node for path in modules() for node in walked(path) if isinstance(node, ast.FunctionDef)]
    # Calls are matched by name alone, so that a name which others without the parameter bear says nothing, but where it was
    # imported from the statistics.
    without = {node.name for node in functions if parameter not in parameters(node)}
    takes = {node.name: parameters(node).index(parameter) for node in functions if parameter in parameters(node)}
    forgotten = set()
    for path in modules():
        imports = [node for node in walked(path) if isinstance(node, ast.ImportFrom)]
        sure = {
            name.name for node in imports if (node.module or "").endswith("statistics.intervals") for name in node.names
        }
        for call in (node for node in walked(path) if isinstance(node, ast.Call)):
            name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", None)
            if name not in takes or (name in without and not (name in sure and isinstance(call.func, ast.Name))):
                continue
            given = {keyword.arg for keyword in call.keywords}  # None stands for **
            starred = any(isinstance(argument, ast.Starred) for argument in call.args)
            if not given & {parameter, None} and not starred and len(call.args) <= takes[name]:
                forgotten.add((path.name, name))
    assert forgotten == WITHOUT[parameter]


def texts_in(path: Path) -> set[str]:
    """Strings of a module, those of its documentation excepted."""
    documentation = {id(node.value) for node in walked(path) if isinstance(node, ast.Expr)}
    constants = [node for node in walked(path) if isinstance(node, ast.Constant) and id(node) not in documentation]
    return {node.value for node in constants if isinstance(node.value, str)}


@pytest.mark.parametrize(
    ("file", "names"),
    [
        ("project_folders.py", r"0[1-8]_[a-z]"),
        ("run_folders.py", r"^(run\.json|label\.json|history\.parquet|predictions.*\.(parquet|safetensors))$"),
    ],
)
def test_what_folders_hold_is_told_in_one_room(file, names):
    telling = {path.name for path in modules() if any(re.search(names, text) for text in texts_in(path))}
    assert telling == {file}
