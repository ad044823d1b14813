"""install.sh with stand-ins for Python and pip, and the files that it installs."""

import os
import re
import shutil
import stat
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from scripts.lock import NOT_SET_UP
from tests.conftest import ROOT

FILES = ("install.sh", "pyproject.toml", "requirements.txt", "requirements-ffcv.txt", "scripts/unfinished.py")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PYTHON = """\
#!/bin/bash
# Stands in for Python {version}: says what it was asked for, and does as if.
echo "{version} $*" >>"$LOG"
case "$*" in
    *_base_executable*)
        {base}
        echo "{version} {path}" ;;
    *ensurepip,*) [ "$FAULT" != "no venv" ] ;;
    *"-m venv"*)
        mkdir -p .venv/bin .venv/lib/python{version}/site-packages/pip
        cp "$0" .venv/bin/python
        [ "$FAULT" != "venv fails" ] || {{ echo "Error: ensurepip has failed" >&2; exit 1; }}
        echo "#!$PWD/.venv/bin/python" >.venv/bin/pip ;;
    *unfinished*) [ "$FAULT" != "pip not whole" ] ;;
    *uv.txt*) cp .venv/uv.txt "$LOG.uv"; [ -z "$UV" ] || cp "$0" .venv/bin/uv ;;
    *"config list"*) echo "global.index-url='https://mirror.example/simple'" ;;
    *"--python .venv/bin/python"*) echo "index $UV_DEFAULT_INDEX" >>"$LOG"; [ "$UV" = works ] ;;
    *"$FAULT_AT"*)
        case "$FAULT" in
            "no network") echo "WARNING: Retrying (Retry(total=4, connect=None)) after connection broken"
                echo "ERROR: No matching distribution found for torch" ; exit 1 ;;
            "no index") echo "ERROR: Could not find a version (from versions: none)"; exit 1 ;;
            "disk full") echo "ERROR: [Errno 28] No space left on device"; exit 1 ;;
            "other bytes") echo "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE."; exit 1 ;;
            "killed") kill -9 0 ;;
            "puzzling") printf 'thirty lines\\nthe last line\\n'; exit 1 ;;
        esac ;;
esac
"""
REPEAT = "and repeat"


class Machine:
    """A folder with the files of the set-up, and one with stand-in commands, which is all of PATH but the usual tools."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.commands, self.log = folder / "project", folder / "bin", folder / "log"
        self.commands.mkdir()
        for name in FILES:
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, self.folder / name)
        for tool in (
            "awk",
            "bash",
            "cat",
            "cp",
            "df",
            "dirname",
            "env",
            "grep",
            "id",
            "kill",
            "mkdir",
            "mv",
            "rm",
            "sed",
            "sha256sum",
        ):
            (self.commands / tool).symlink_to(shutil.which(tool))
        self.program("pkg-config", "#!/bin/bash\n")
        self.program("g++", "#!/bin/bash\n")

    def program(self, name: str, text: str) -> Path:
        path = self.commands / name
        path.unlink(missing_ok=True)
        path.write_text(text, encoding="utf-8")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return path

    def python(self, version: str, name: str = "") -> Path:
        path = self.commands / (name or f"python{version}")
        return self.program(path.name, PYTHON.format(version=version, path=path, base=f"[ -x {path} ] || exit 127"))

    def install(self, fault: str = "", at: str = "nothing", **environment: str) -> subprocess.CompletedProcess[str]:
        self.log.write_text("", encoding="utf-8")
        environment = {"PATH": str(self.commands), "LOG": str(self.log), "FAULT": fault, "FAULT_AT": at, **environment}
        command = [str(self.folder / "install.sh")]
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, timeout=60, start_new_session=True
        )

    def asked(self) -> list[str]:
        """What the stand-ins were asked for, but for their versions."""
        return [line for line in self.log.read_text(encoding="utf-8").splitlines() if "_base_executable" not in line]

    @property
    def made_with(self) -> str:
        return (self.folder / ".venv/.installed").read_text(encoding="utf-8").split(" in ")[0]


@pytest.fixture
def machine(tmp_path) -> Machine:
    return Machine(tmp_path)


def assert_fails_in_a_sentence(done: subprocess.CompletedProcess[str], *parts: str) -> None:
    assert done.returncode == 1, done.stdout + done.stderr
    (sentence,) = done.stderr.splitlines()
    for part in parts:
        assert part in sentence


def assert_is_set_up(machine: Machine, version: str) -> None:
    """...and is left alone from now on."""
    assert machine.made_with == f"Python {version}"
    done = machine.install()
    assert (done.returncode, done.stdout, done.stderr, machine.asked()) == (0, "", "", [])


@pytest.mark.parametrize(
    ("there", "taken"),
    [
        (["3.13", "3.12", "3.11"], "3.11"),
        (["3.13", "3.12"], "3.12"),
        (["3.13"], "3.13"),
        (["3.10", "3.14", "3.13"], "3.13"),
    ],
)
def test_the_first_of_the_three_pythons_is_taken(machine, there, taken):
    for version in there:
        machine.python(version)
    done = machine.install()
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[0] == f"Creating .venv with Python {taken} ..."
    assert_is_set_up(machine, taken)


def test_shims_that_do_not_run_are_passed_over(machine, tmp_path):
    machine.python("3.12")
    shims = tmp_path / "shims"
    shims.mkdir()
    for name in ("python3.11", "python3.12"):
        (shims / name).write_text("#!/bin/bash\nexit 127\n", encoding="utf-8")
        (shims / name).chmod(0o755)
    assert machine.install(PATH=f"{shims}:{machine.commands}").returncode == 0
    assert_is_set_up(machine, "3.12")


def test_python3_is_taken_if_it_is_one_of_the_three(machine):
    machine.python("3.13", name="python3")
    assert machine.install().returncode == 0
    assert_is_set_up(machine, "3.13")


def test_no_python_and_a_wrong_one_are_told(machine):
    machine.python("3.10", name="python3")
    assert_fails_in_a_sentence(
        machine.install(), "needs Python 3.11, 3.12 or 3.13, and none was found", "apt install", "PYTHON="
    )
    for name in ("python3", "python2", "/nowhere/python3.12"):
        done = machine.install(PYTHON=name)
        assert_fails_in_a_sentence(done, f"and '{name}' is none that runs", "make install PYTHON=")
    assert not (machine.folder / ".venv").exists()


def test_an_environment_keeps_its_python_until_another_is_asked_for(machine):
    machine.python("3.11")
    wanted = machine.python("3.12")
    assert machine.install(PYTHON=str(wanted)).returncode == 0
    assert_is_set_up(machine, "3.12")
    done = machine.install(PYTHON="python3.11")
    assert "Making .venv anew: it has Python 3.12, and 3.11 is asked for." in done.stdout
    assert_is_set_up(machine, "3.11")


def test_torch_is_installed_first_and_the_rest_by_hash(machine):
    machine.python("3.11")
    machine.install()
    installs = [line.split("--no-build-isolation ")[1] for line in machine.asked() if "m pip install" in line]
    (torch,) = [name for name in PROJECT["dependencies"] if name.startswith("torch==")]
    assert installs == [
        torch,
        "--require-hashes --no-deps --requirement .venv/uv.txt",
        "--require-hashes --no-deps --requirement requirements.txt",
        "--no-deps --editable .",
        "--require-hashes --no-deps --requirement requirements-ffcv.txt",
    ]


@pytest.mark.parametrize(("uv", "by_pip"), [("works", False), ("fails", True)])
def test_uv_installs_the_libraries_and_pip_what_uv_cannot(machine, uv, by_pip):
    machine.python("3.11")
    done = machine.install(UV=uv)
    assert (done.returncode, done.stderr) == (0, "")
    asked = machine.asked()
    wanted = "--require-hashes --no-deps --requirement requirements.txt"
    of_uv = f"3.11 pip install --quiet --no-build-isolation --python .venv/bin/python {wanted}"
    assert asked[asked.index(of_uv) + 1] == "index https://mirror.example/simple"  # pip's
    assert any("-m pip install" in line and line.endswith(wanted) for line in asked) == by_pip
    first, *hashes = machine.log.with_suffix(".uv").read_text(encoding="utf-8").split("\\\n")
    (version,) = [name for name in PROJECT["optional-dependencies"]["dev"] if name.startswith("uv==")]
    assert first.strip() == version
    assert hashes
    assert all(line.strip().startswith("--hash=sha256:") for line in hashes)
    assert_is_set_up(machine, "3.11")


@pytest.mark.parametrize(
    ("fault", "at", "parts"),
    [
        ("no venv", "nothing", ["lacks the modules venv and ensurepip", "apt install python3.11-venv"]),
        ("venv fails", "nothing", ["could not make .venv: Error: ensurepip has failed; mend that and repeat."]),
        ("no network", "torch==", ["PyTorch could not be downloaded", "mend the network", REPEAT, ".venv/install.log"]),
        ("no network", "requirements.txt", ["A library could not be downloaded", "mend the network", REPEAT]),
        ("no index", "torch==", ["PyTorch could not be downloaded", "pip's index", REPEAT]),
        ("disk full", "torch==", ["The disk is full", "make room and repeat"]),
        ("disk full", "requirements-ffcv.txt", ["The disk is full", "make room and repeat"]),
        ("other bytes", "requirements.txt", ["has not the hash", "pip cache purge", REPEAT]),
        ("puzzling", "--editable", ["The project could not be installed: the last line", ".venv/install.log", REPEAT]),
    ],
)
def test_what_fails_is_one_sentence_and_repeated_with_success(machine, fault, at, parts):
    machine.python("3.11")
    assert_fails_in_a_sentence(machine.install(fault, at), *parts)
    assert not (machine.folder / ".venv/.installed").exists()
    assert machine.install().returncode == 0
    assert_is_set_up(machine, "3.11")


def test_the_log_that_a_sentence_names_is_there(machine):
    machine.python("3.11")
    machine.install("puzzling", "torch==")
    assert (machine.folder / ".venv/install.log").read_text(encoding="utf-8") == "thirty lines\nthe last line\n"


def test_a_disk_that_says_nothing_is_seen_to_be_full(machine):
    machine.python("3.11")
    machine.program("df", "#!/bin/bash\nprintf 'Filesystem 1024-blocks Used Available\\ndisk 5120 5120 0 100%% /\\n'\n")
    assert_fails_in_a_sentence(machine.install("venv fails"), "The disk is full")
    assert not (machine.folder / ".venv").exists()


def test_ffcv_that_cannot_be_installed_is_no_hindrance(machine):
    machine.python("3.12")
    done = machine.install("puzzling", "requirements-ffcv.txt")
    assert done.returncode == 0
    (sentence,) = done.stderr.splitlines()
    assert "FFCV could not be installed with Python 3.12, as .venv/install.log tells" in sentence
    assert_is_set_up(machine, "3.12")


def test_ffcv_is_installed_once_its_system_packages_are_there(machine):
    machine.python("3.11")
    machine.program("pkg-config", "#!/bin/bash\nexit 1\n")
    done = machine.install()
    assert done.returncode == 0
    assert "FFCV is not installed (its system packages" in done.stdout
    assert_is_set_up(machine, "3.11")
    machine.program("pkg-config", "#!/bin/bash\n")
    assert "FFCV is ready." in machine.install().stdout
    assert_is_set_up(machine, "3.11")


def test_changed_requirements_are_installed_into_the_same_environment(machine):
    machine.python("3.11")
    machine.install()
    with (machine.folder / "pyproject.toml").open("a", encoding="utf-8") as file:
        file.write("# another line\n")
    done = machine.install()
    assert done.returncode == 0
    assert ".venv" not in done.stdout
    assert [line for line in machine.asked() if "venv" in line.split("install")[0]] == []
    assert_is_set_up(machine, "3.11")


def killed(machine: Machine) -> None:
    (machine.folder / ".venv/.installed").unlink()
    assert machine.install("killed", "requirements.txt").returncode == -9


def without_pip(machine: Machine) -> None:
    shutil.rmtree(machine.folder / ".venv/lib/python3.11/site-packages/pip")


def without_interpreter(machine: Machine) -> None:
    (machine.folder / ".venv/bin/python").unlink()
    (machine.folder / ".venv/bin/python").symlink_to("/nowhere/python3.11")


def without_configuration(machine: Machine) -> None:
    own = machine.folder.resolve() / ".venv/bin/python"
    own.write_text(PYTHON.format(version="3.11", path=own, base=""), encoding="utf-8")


def moved(machine: Machine) -> None:
    machine.folder = machine.folder.rename(machine.folder.with_name("elsewhere"))


def copied(machine: Machine) -> None:
    machine.folder = Path(shutil.copytree(machine.folder, machine.folder.with_name("copy"), symlinks=True))


@pytest.mark.parametrize(
    ("damage", "fault", "told"),
    [
        (killed, "", ""),
        (killed, "pip not whole", "its pip is not whole"),
        (without_pip, "", "it has no pip"),
        (without_interpreter, "", "its Python does not run"),
        (without_configuration, "", "its Python does not run as one of an environment"),
        (moved, "", "it was made in another folder"),
        (copied, "", "it was made in another folder"),
    ],
)
def test_a_half_made_environment_is_finished_or_made_anew(machine, damage, fault, told):
    machine.python("3.11")
    machine.install()
    damage(machine)
    done = machine.install(fault)
    assert (done.returncode, done.stderr) == (0, "")
    assert ("Making .venv anew" in done.stdout) == bool(told)
    assert told in done.stdout
    assert_is_set_up(machine, "3.11")


def test_what_pip_has_not_finished_is_installed_again(tmp_path):
    libraries = tmp_path / "lib"
    for name in ("pip", "whole", "cut_short", "unrecorded"):
        description = libraries / f"{name}-1.0.dist-info"
        description.mkdir(parents=True)
        (libraries / f"{name}.py").write_text("12345", encoding="utf-8")
        (description / "INSTALLER").write_text("pip\n", encoding="utf-8")
        (description / "RECORD").write_text(f"{name}.py,sha256=x,5\n{name}.pyc,,\n", encoding="utf-8")
    (libraries / "cut_short.py").write_text("123", encoding="utf-8")
    (libraries / "unrecorded-1.0.dist-info/RECORD").unlink()
    (libraries / "~half").mkdir()
    script = (
        f"import runpy, sys, sysconfig; sysconfig.get_path = lambda name: {str(libraries)!r}\n"
        f"runpy.run_path({str(ROOT / 'scripts/unfinished.py')!r}, run_name='__main__')"
    )
    command = [shutil.which("python3") or "python3", "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(path.name for path in libraries.glob("[!.]*.dist-info")) == [
        "pip-1.0.dist-info",
        "whole-1.0.dist-info",
    ]
    assert not (libraries / "~half").exists()
    assert {"cut_short", "unrecorded"} == set(re.findall("Installing (.+) again", done.stdout))
    (libraries / "pip.py").unlink()
    assert subprocess.run(command, capture_output=True, check=False).returncode == 1


def locked(name: str) -> dict[str, list[tuple[Requirement, int]]]:
    """The libraries of a requirement file, by name, with the number of their hashes."""
    found: dict[str, list[tuple[Requirement, int]]] = {}
    text = (ROOT / name).read_text(encoding="utf-8").replace("\\\n", " ")
    for line in (line for line in text.splitlines() if not line.startswith("#")):
        requirement = Requirement(line.split("--hash")[0].strip())
        found.setdefault(canonicalize_name(requirement.name), []).append((requirement, line.count("--hash=sha256:")))
    return found


def pin(requirement: Requirement) -> Version:
    (only,) = requirement.specifier
    assert only.operator == "=="
    return Version(only.version)


@pytest.mark.parametrize("python", ["3.11.2", "3.11.7", "3.12.1", "3.13.0"])
def test_every_dependency_is_locked_at_a_version_that_is_admitted(python):
    base, ffcv = locked("requirements.txt"), locked("requirements-ffcv.txt")
    assert set(base).isdisjoint(ffcv)
    on = {"python_version": python.rpartition(".")[0], "python_full_version": python, "sys_platform": "linux"}
    extras = {extra: names for extra, names in PROJECT["optional-dependencies"].items() if extra not in NOT_SET_UP}
    asked = [(name, base) for name in PROJECT["dependencies"]]
    asked += [(name, ffcv if extra == "ffcv" else base) for extra, names in extras.items() for name in names]
    for text, file in asked:
        wanted = Requirement(text)
        if wanted.name == "torch":
            continue
        pins = [one for one, _ in file[canonicalize_name(wanted.name)] if one.marker is None or one.marker.evaluate(on)]
        assert len(pins) == 1, text
        assert pin(pins[0]) in wanted.specifier, text


def test_every_locked_library_has_hashes_and_torch_is_none_of_them():
    for name in ("requirements.txt", "requirements-ffcv.txt"):
        libraries = locked(name)
        assert all(hashes for requirements in libraries.values() for _, hashes in requirements)
        assert [library for library in libraries if re.match(r"torch$|triton|nvidia-|cuda-", library)] == []
        text = (ROOT / name).read_text(encoding="utf-8")
        assert re.findall(r"^[^#\s].*://|^--?\w*(?:index|find-links).*", text, re.MULTILINE) == []


def test_the_pythons_are_the_same_everywhere():
    first, beyond = re.fullmatch(r">=3\.(\d+),<3\.(\d+)", PROJECT["requires-python"]).groups()
    pythons = [f"3.{minor}" for minor in range(int(first), int(beyond))]
    script = (ROOT / "install.sh").read_text(encoding="utf-8")
    assert re.search(r'^pythons="(.+?)"', script, re.MULTILINE)[1].split() == pythons
    sentence = f"{', '.join(pythons[:-1])} or {pythons[-1]}"
    for file in ("install.sh", "README.md", "docs/tutorial.md", "docs/troubleshooting.md"):
        assert sentence in (ROOT / file).read_text(encoding="utf-8"), file
    assert os.access(ROOT / "install.sh", os.X_OK)
