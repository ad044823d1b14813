"""Every block of commands in the documentation holds commands that are there; what runs at the size of the demo is run."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits
from tests.command_server import kedro_for_shells
from tests.conftest import ROOT
from tests.docs.command_blocks import (
    blocks_in,
    command_blocks,
    commands_in_text,
    other_shells,
    pages_with_commands,
    split_commands,
)
from tests.docs.command_checks import CommandChecks

BLOCKS = command_blocks(ROOT)
TUTORIAL = "docs/tutorial.md"  # its blocks are run, one after the other, by test_tutorial.py
RUN = [block for block in BLOCKS if block.reason is None and block.file != TUTORIAL]

ENVIRONMENTS_OF_READERS = ("photos", "my_images", "my_study", "STUDY")
"""Environments that the documentation tells its reader to make, or leaves to choose."""


@pytest.fixture(scope="module")
def checks(tmp_path_factory) -> CommandChecks:
    conf = tmp_path_factory.mktemp("readers") / "conf"
    shutil.copytree(ROOT / "conf", conf)
    for name in ENVIRONMENTS_OF_READERS:
        (conf / name).mkdir()
        (conf / name / "parameters.yml").write_text("data_prep: {source: digits}\n", encoding="utf-8")
    return CommandChecks(conf)


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_every_command_and_all_that_it_names_is_there(block, checks):
    problems = [f"{' '.join(command)}: {told}" for command in block.commands() for told in checks.problems(command)]
    assert not problems, "\n".join([str(block), *problems])


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.reason is not None], ids=str)
def test_a_block_that_is_not_run_says_why(block):
    assert len(block.reason.split()) >= 2


@pytest.mark.parametrize("page", pages_with_commands(ROOT), ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_stand_in_blocks_that_are_found(page):
    assert not other_shells(page), f"write ```bash before these commands of {page.name}"


@pytest.mark.slow
@pytest.mark.parametrize("page", pages_with_commands(ROOT), ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_in_running_text_are_there(page, checks):
    for text in commands_in_text(page):
        chosen = re.sub(r"<(study|environment)>", "STUDY", text)
        for command in split_commands(re.sub(r"<[\w ]+>", "SOMETHING", chosen)):
            assert not checks.problems(command, whole=False), text


@pytest.fixture(scope="module")
def readers_project(demo_project, tmp_path_factory) -> Path:
    """What a reader has after the demo, apart from the fixture: other tests count the studies in that."""
    folder = tmp_path_factory.mktemp("reader") / "project"
    shutil.copytree(demo_project.folder, folder, symlinks=True)
    (folder / ".venv").symlink_to(sys.prefix)
    digits = load_digits()
    for label in (3, 8):
        (folder / f"images/{label}").mkdir(parents=True)
        for index, pixels in enumerate(digits.images[digits.target == label][:12]):
            Image.fromarray((pixels * 15).astype("uint8")).save(folder / f"images/{label}/{index}.png")
    np.save(folder / "images.npy", (digits.images[:20, ..., np.newaxis] * 15).astype("uint8"))
    return folder


STAND_INS = {r"/path/to/(images|labelled)": "images", r"\bdemo\b": "demo+quick", r"\bresnet_se\b(?!\+)": "demo+quick"}
"""What the documentation calls the reader's own, and studies that take hours -> what there is of this kind."""


@pytest.fixture(scope="module")
def programs(tmp_path_factory) -> Iterator[str]:
    """A PATH on which `kedro` starts without importing its libraries anew."""
    with kedro_for_shells(tmp_path_factory.mktemp("programs")) as folder:
        yield f"{folder}:{Path(sys.executable).parent}:{os.environ['PATH']}"


@pytest.mark.parametrize("block", RUN, ids=str)
def test_a_block_runs(block, readers_project, programs):
    script = block.script
    for named, there in STAND_INS.items():
        script = re.sub(named, there, script)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=readers_project,
        env=os.environ | {"PATH": programs, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, f"{block}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("kedro rum --env=demo", "no command rum"),
        ("kedro runs", "wants a command"),
        ("kedro runs label a", "Missing argument"),
        ("kedro run --enw=demo", "No such option"),
        ("kedro run --env=resnet_s", "no environment 'resnet_s'"),
        ("OMP_NUM_THREADS=1 .venv/bin/kedro run --pipeline=alfanet", "no pipeline alfanet"),
        ("kedro run --params=cifar_resnet.run.training.epoch=2", "there is no such parameter"),
        ("kedro run --env=all_studies --params=fresh=maybe", "must be true or false"),
        ("make demos", "no target demos"),
        ("cat conf/demo/parameter.yml", "there is no conf/demo/parameter.yml"),
        ("python -m benchmarks.stakcing", "no module benchmarks.stakcing"),
        ("kedroo run", "nobody knows the program kedroo"),
    ],
)
def test_what_is_not_there_is_told(checks, command, told):
    problems = [problem for words in split_commands(command) for problem in checks.problems(words)]
    assert len(problems) == 1
    assert told in problems[0]


PAGE = """
```bash
make demo  # all
```

<!-- not run: hours of training -->

```bash
kedro run \\
  --env=demo | head
```

```yaml
make: demo
```

1. In a list:

    ```bash
    make docs && ls site
    ```

```
$ kedro runs list
nothing
```
"""


def test_blocks_are_found_with_their_reasons(tmp_path):
    (tmp_path / "page.md").write_text(PAGE, encoding="utf-8")
    blocks = [*blocks_in(tmp_path / "page.md", tmp_path)]
    assert [(block.line, block.reason) for block in blocks] == [
        (2, None),
        (8, "hours of training"),
        (19, None),
        (23, "shown with what it printed"),
    ]
    assert [[*block.commands()] for block in blocks] == [
        [["make", "demo"]],
        [["kedro", "run", "--env=demo"], ["head"]],
        [["make", "docs"], ["ls", "site"]],
        [["kedro", "runs", "list"]],
    ]


def test_a_block_under_another_name_is_noticed(tmp_path):
    (tmp_path / "page.md").write_text(
        "```console\nls\n```\n\n```\nkedro run\n```\n\n```\na drawing\n```\n", encoding="utf-8"
    )
    assert other_shells(tmp_path / "page.md") == {"ls", "kedro run"}
