"""A study that begins on one machine and goes on on another, through an S3-compatible store."""

import json

import pandas as pd
import pytest
from click.testing import CliRunner
from tests.conftest import Project
from tests.storage.conftest import s3  # noqa: F401 - a fixture

from vision_studies.cli.store import store

SMALL = """
storage: {{url: {url}, options: {options}}}
data_prep: {{ffcv: false}}
cifar_resnet:
  seeds: [0, 1]
  run:
    model: {{stem_width: 4, widths: [4, 8], blocks: [1, 1], strides: [1, 2], squeeze_reduction: null}}
    training: {{epochs: 1, batch_size: 256, checkpoint_every: 1}}
"""
RUNS = "data/06_models/demo+small/cifar_resnet/runs"
TABLE = "data/07_model_output/demo+small/cifar_resnet/results.parquet"
COMMAND = ("run", "--env=demo+small", "--pipelines=data_prep,cifar_resnet", "--to-outputs=cifar_resnet.results")


def machine_with_a_study(folder, s3, name) -> Project:  # noqa: F811
    (folder / name).mkdir()
    project = Project(folder / name)
    (project.folder / "conf/small").mkdir()
    text = SMALL.format(url=s3.url, options=json.dumps(s3.options))
    (project.folder / "conf/small/parameters.yml").write_text(text, encoding="utf-8")
    return project


def command(name: str) -> str:
    done = CliRunner().invoke(store, [name, "--env=demo+small"])
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.slow
def test_another_machine_goes_on_with_a_study(tmp_path, s3, monkeypatch):  # noqa: F811
    first, second = (machine_with_a_study(tmp_path, s3, name) for name in ("first", "second"))
    done = first.run(*COMMAND)
    assert "sent to s3://studies/kept" in done.stdout + done.stderr
    kept = sorted(path.name for path in (first.folder / RUNS).iterdir() if path.name != "stacks")
    assert len(kept) == 2

    # The second has one run only as far as the store has it: the other one is trained there, with the same numbers.
    index = f"studies/kept/index/{RUNS.removeprefix('data/')}/{kept[0]}"
    s3.files.rm(index, recursive=True)
    done = second.run(*COMMAND)
    told = done.stdout + done.stderr
    assert "fetched from s3://studies/kept" in told
    assert "training: 1 of 2 runs are finished and reused" in told
    numbers = [
        "variant",
        "seed",
        "run_fingerprint",
        "data_fingerprint",
        "validation_accuracy",
        "test_accuracy",
        "test_loss",
    ]
    tables = [pd.read_parquet(project.folder / TABLE)[numbers] for project in (first, second)]
    pd.testing.assert_frame_equal(*tables)
    weights = [project.folder / RUNS / kept[1] / "weights.safetensors" for project in (first, second)]
    assert weights[0].read_bytes() == weights[1].read_bytes()
    assert s3.files.exists(index)
    assert not [*(second.folder / RUNS / kept[1]).glob("checkpoints/epoch_*")]
    records = [*(second.folder / "data/08_reporting/demo+small/run_records").glob("*.json")]
    assert [json.loads(record.read_text())["parameters"]["storage"]["url"] for record in records] == [s3.url]

    monkeypatch.chdir(second.folder)
    assert "only in the store" in command("status")  # the record of the first machine's command
    assert "1 folders fetched from s3://studies/kept" in command("pull")
    assert len([*records[0].parent.glob("*.json")]) == 2
    assert "all is in both places" in command("status")

    s3.server.stop()
    options = "storage.options.config_kwargs.retries.total_max_attempts=1"
    refused = second.run(*COMMAND, f"--params={options}", succeeds=False)
    told = refused.stdout + refused.stderr
    assert "The store s3://studies/kept cannot be used" in told
    assert "set storage.url=null" in told
    assert "Traceback" not in told
