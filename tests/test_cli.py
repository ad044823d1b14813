"""How errors are told. Whole commands are in test_commands.py."""

import click
import pytest
import yaml
from click.testing import CliRunner
from tests.conftest import ROOT

from vision_studies.cli import cli
from vision_studies.cli.errors import told_in_a_sentence
from vision_studies.errors import DataError, ParameterError
from vision_studies.pipeline_registry import check_pipelines


def fail_as_kedro_does():
    try:
        raise DataError("The image cat.png cannot be read; delete it.")
    except DataError as error:
        raise RuntimeError("Failed while loading data from dataset") from error


def fail_while_handling():
    try:
        raise DataError("The image cat.png cannot be read; delete it.")
    except DataError:
        raise RuntimeError("Failed") from None


def fail_otherwise():
    raise ZeroDivisionError("a mistake of ours")


def call(function):
    return CliRunner().invoke(click.Command("try", callback=told_in_a_sentence(function)))


@pytest.mark.parametrize("function", [fail_as_kedro_does, fail_while_handling])
def test_an_error_of_the_user_is_told_in_one_sentence(function):
    done = call(function)
    assert done.exit_code == 1
    assert done.stderr == "Error: The image cat.png cannot be read; delete it.\n"
    assert done.stdout == ""


def refuse_as_torch_does():
    raise NotImplementedError(
        "The operator 'aten::linalg_qr' is not currently implemented for the MPS device.\nAs a temporary fix, ..."
    )


def test_what_apples_gpu_cannot_do_is_named_with_what_can():
    told = call(refuse_as_torch_does).stderr
    assert told.startswith("Error: Apple's GPU cannot compute this (The operator 'aten::linalg_qr' is not currently")
    assert told.endswith("use the processor: --params=execution.device=cpu.\n")


def test_the_way_there_can_be_asked_for(monkeypatch):
    monkeypatch.setenv("VISION_STUDIES_TRACEBACK", "1")
    assert isinstance(call(fail_as_kedro_does).exception, RuntimeError)


def test_an_error_of_ours_keeps_its_traceback():
    assert isinstance(call(fail_otherwise).exception, ZeroDivisionError)


def test_the_options_of_kedro_are_kept():
    from kedro.framework.cli.project import run as kedro_run

    kept = {option.name for option in kedro_run.params}
    assert {option.name for option in cli.commands["run"].params} == kept | {"budget"}
    assert set(cli.commands["catalog"].commands) == {"describe-datasets", "list-patterns", "resolve-patterns"}
    assert set(cli.commands["registry"].commands) == {"list", "describe"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("catalog", "describe-datasets", "--env=dmo"), "There is no environment 'dmo' in conf/. Did you mean 'demo'?"),
        (("registry", "describe", "reportng"), "There is no pipeline 'reportng'. Did you mean 'reporting'?"),
        (("run", "--env=demo", "--pipeline=reportng"), "There is no pipeline 'reportng'. Did you mean 'reporting'?"),
    ],
)
def test_every_command_tells_a_misspelt_name(project, arguments, message):
    done = project.run(*arguments, succeeds=False)
    assert done.stderr.startswith(f"Error: {message}")
    assert len(done.stderr.splitlines()) == 1
    assert "Traceback" not in done.stdout


def test_no_dataset_of_a_pipeline_is_lost_in_memory(project):
    described = yaml.safe_load(project.run("catalog", "describe-datasets", "--env=demo").stdout)
    assert {"__default__", "data_prep", "cifar_resnet", "reporting"} <= set(described)
    for pipeline, kinds in described.items():
        assert kinds["datasets"], pipeline
        assert kinds["defaults"] == {}, pipeline


def test_without_a_pipeline_a_study_does_what_it_is_about(project):
    (project.folder / "conf/odd").mkdir()
    (project.folder / "conf/odd/environment.yml").write_text("pipelines: [mlp_transfr]\n", encoding="utf-8")
    done = project.run("run", "--env=odd+demo", succeeds=False)
    assert done.stderr.startswith("Error: There is no pipeline 'mlp_transfr'. Did you mean 'mlp_transfer'?")


def test_the_default_pipeline_holds_the_chosen_methods_and_reports_last():
    from kedro.framework.project import configure_project

    from vision_studies import pipeline_registry

    configure_project("vision_studies")
    try:
        pipeline_registry.choose_methods(["mlp_transfer"])
        chosen = pipeline_registry.register_pipelines()["__default__"]
        pipeline_registry.choose_methods(["alphanet"], images=False)
        without_images = pipeline_registry.register_pipelines()["__default__"]
        pipeline_registry.choose_methods([])
        of_images = pipeline_registry.register_pipelines()["__default__"]
    finally:
        pipeline_registry.choose_methods(None)
    assert {node.namespace for node in of_images.nodes} == {"data_prep"}
    assert {node.namespace for node in chosen.nodes} == {"data_prep", "mlp_transfer", "reporting"}
    assert chosen.nodes[-1].namespace == "reporting"
    assert {node.namespace for node in without_images.nodes} == {"alphanet", "reporting"}
    everything = pipeline_registry.register_pipelines()["__default__"]
    assert {"cifar_resnet", "mlp_transfer"} < {node.namespace for node in everything.nodes}


def test_pipelines_alone_are_offered():
    with pytest.raises(ParameterError) as told:
        check_pipelines(["no"])
    offered = str(told.value).split("There are: ")[1].rstrip(".").split(", ")
    folders = {path.parent.name for path in (ROOT / "src/vision_studies/pipelines").glob("*/nodes.py")}
    assert set(offered) == {"__default__", *folders}


def test_a_report_that_is_asked_for_beside_other_pipelines_comes_last():
    from vision_studies import pipeline_registry

    try:
        pipeline_registry.report_after(["data_prep", "cifar_resnet"])
        pipelines = pipeline_registry.register_pipelines()
    finally:
        pipeline_registry.report_after([])
    together = sum(pipelines[name] for name in ("reporting", "cifar_resnet", "data_prep"))
    names = [node.namespace for node in together.nodes]
    assert names[-2:] == ["reporting", "reporting"]
    assert "reporting" not in names[:-2]
    alone = pipeline_registry.register_pipelines()["reporting"]
    assert not alone.inputs() & together.outputs()
