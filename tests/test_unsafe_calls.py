"""No module of the project has a call by which data could run code."""

import ast

import pytest
from tests.test_architecture import PACKAGE, modules

FORBIDDEN = {
    "eval",
    "exec",
    "compile",
    "__import__",
    "os.system",
    "os.popen",
    "pickle.load",
    "pickle.loads",
    "pickle.Unpickler",
    "joblib.load",
    "dill.load",
    "cloudpickle.load",
    "cloudpickle.loads",
    "pd.read_pickle",
    "pd.eval",
    "yaml.load",
    "yaml.full_load",
    "yaml.unsafe_load",
    "shelve.open",
    "marshal.loads",
    "torch.hub.load",
    "tempfile.mktemp",
    "shutil.unpack_archive",
}
NEEDED = {"torch.load": ("weights_only", True), "np.load": ("allow_pickle", False), "np.save": ("allow_pickle", False)}
UNPACKING = {"extract", "extractall"}


def dotted(node):
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def problems(source):
    found = []
    for call in (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)):
        name = dotted(call.func)
        options = {word.arg: getattr(word.value, "value", None) for word in call.keywords}
        if name in FORBIDDEN or options.get("shell") or (name.rpartition(".")[2] in UNPACKING and "." in name):
            found.append(name)
        option, value = NEEDED.get(name, (None, None))
        if option and options.get(option) is not value:
            found.append(name)
    return found


@pytest.mark.parametrize(
    "source",
    [
        "eval(text)",
        "import torch\ntorch.load(file)",
        "torch.load(file, weights_only=False)",
        "np.load(file, allow_pickle=True)",
        "np.load(file)",
        "subprocess.run(line, shell=True)",
        "tarfile.open(file).extractall(folder)",
        "archive.extractall(folder)",
        "pickle.loads(content)",
    ],
)
def test_the_search_finds_what_it_looks_for(source):
    assert len(problems(source)) == 1


@pytest.mark.slow
def test_nothing_from_outside_is_run():
    unsafe = {str(path.relative_to(PACKAGE)): problems(path.read_text(encoding="utf-8")) for path in modules()}
    # Pandas' own extract works on texts.
    assert {
        name: found for name, found in unsafe.items() if [own for own in found if not own.endswith("str.extract")]
    } == {}
