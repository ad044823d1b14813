import pytest
import yaml
from pydantic import ValidationError
from tests.conftest import ROOT

from vision_studies.config.merge import merge_settings
from vision_studies.pipelines.transfer_cuts.settings import (
    BASELINE,
    CutRunSettings,
    PretrainingRunSettings,
    TransferCutsSettings,
)

MODES = ("freeze_reinit", "freeze", "reinit", "fine_tune", "freeze_truncate")
DEEP = {"name": "convnet", "hidden": 128}


def parameters(*environments):
    file = ROOT / "conf/base/parameters_transfer_cuts.yml"
    merged = yaml.safe_load(file.read_text(encoding="utf-8"))
    for name in environments:
        own = (ROOT / f"conf/{name}/parameters.yml").read_text(encoding="utf-8")
        merged = merge_settings(merged, yaml.safe_load(own))
    return merged["transfer_cuts"]


def transfer_settings(**changes):
    """The base parameters with changes."""
    return TransferCutsSettings.model_validate(merge_settings(parameters(), changes))


def test_the_base_is_whole_and_corrected():
    own = transfer_settings()
    assert own.protocol == "corrected"
    assert own.network.channels == (64,) * 6
    assert own.fine_tuning.validation == "counted"
    assert own.fine_tuning.training.restore == own.pretraining.training.restore == "best"
    assert own.fine_tuning.training.steps_per_epoch == 20
    # A Wilcoxon test of fewer pairs than six cannot find anything at 5 %.
    assert min(subset.repeats for subset in own.subsets) >= 6


@pytest.mark.parametrize("environments", [("published_cuts",), ("cuts_fashion_regular", "published_cuts")])
def test_the_published_setting_is_the_published_one(environments):
    own = TransferCutsSettings.model_validate(parameters(*environments))
    assert own.protocol == "published"
    assert [(subset.fraction, subset.repeats) for subset in own.subsets] == [
        (0.001, 25),
        (0.01, 25),
        (0.1, 20),
        (0.5, 5),
        (1.0, 5),
    ]
    assert own.pretraining.seeds == (0,)
    assert own.fine_tuning.validation == "whole"
    assert own.cuts is None
    for part in (own.pretraining, own.fine_tuning):
        training = part.training
        assert (training.epochs, training.batch_size, training.steps_per_epoch) == (40, 4096, None)
        assert training.restore == "best_if_stopped"
        assert training.selection == "validation_accuracy"
        assert [training.validates(epoch) for epoch in range(1, 41)] == [True] * 40
        early = training.early_stopping
        assert (early.metric, early.patience, early.min_delta) == ("validation_accuracy", 6, 0)
        optimizer = part.optimizer
        assert (optimizer.name, optimizer.learning_rate, optimizer.betas) == ("adamw", 1e-3, (0.9, 0.999))
        assert (optimizer.eps, optimizer.weight_decay) == (1e-8, 0)
    assert set(own.classes.fine_tuning) == {"Sandal", "Sneaker", "Ankle boot"}
    assert len(own.classes.pretraining) == 7


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        # For cuts 0 to 3 of three convolutions: frozen, transferred, kept.
        ("freeze_reinit", [(0, 0, 3), (1, 1, 3), (2, 2, 3), (3, 3, 3)]),
        ("freeze", [(0, 3, 3), (1, 3, 3), (2, 3, 3), (3, 3, 3)]),
        ("reinit", [(0, 0, 3), (0, 1, 3), (0, 2, 3), (0, 3, 3)]),
        ("freeze_truncate", [(0, 0, 0), (1, 1, 1), (2, 2, 2), (3, 3, 3)]),
        ("fine_tune", [(0, 3, 3)] * 4),
        (BASELINE, [(0, 0, 3)] * 4),
    ],
)
def test_what_a_mode_means_at_a_cut(mode, expected):
    own = transfer_settings(network={"channels": [4, 4, 4]})
    cuts = [own.cut(mode, cut) for cut in range(4)]
    assert [(cut.frozen, cut.transferred, cut.kept) for cut in cuts] == expected
    assert {cut.new_dense for cut in cuts} == {"all"}


def test_equal_networks_are_equal_settings():
    own = transfer_settings()
    assert own.cut("freeze_reinit", 0) == own.cut("reinit", 0) == own.cut(BASELINE, 0)
    assert own.cut("freeze_reinit", 6) == own.cut("freeze", 6) == own.cut("freeze_truncate", 6)
    assert own.cut("reinit", 6) == own.cut("freeze", 0) == own.cut("fine_tune", 0)
    unequal = [own.cut(mode, 3) for mode in MODES]
    assert all(first != second for place, first in enumerate(unequal) for second in unequal[:place])


def test_of_two_dense_layers_the_first_is_kept_only_where_it_is_asked_for():
    kept = transfer_settings(network=DEEP, reinit_both_dense=False)
    assert kept.cut("freeze", 0).new_dense == kept.cut("freeze_reinit", 1).new_dense == "last"
    assert kept.cut(BASELINE, 0).new_dense == "all"
    assert kept.cut("freeze_reinit", 0) == kept.cut("reinit", 0) == kept.cut(BASELINE, 0)
    assert transfer_settings(network=DEEP).cut("freeze", 3).new_dense == "all"
    assert transfer_settings(reinit_both_dense=False).cut("freeze", 3).new_dense == "all"  # there is one


def test_cuts_of_a_mode_are_all_or_those_named_and_fine_tuning_has_one():
    assert transfer_settings().cut_points("freeze") == (0, 1, 2, 3, 4, 5, 6)
    assert transfer_settings(cuts=[5, 2]).cut_points("freeze_truncate") == (5, 2)
    assert transfer_settings(cuts=[5, 2]).cut_points("fine_tune") == (0,)


def test_only_runs_that_use_a_pretraining_name_it():
    own = transfer_settings()

    def named(mode, cut, settings=own):
        stored = settings.run(mode, cut, 0.1, ("a", "b"), "fingerprint")
        assert CutRunSettings.model_validate(stored).model_dump(mode="json") == stored
        return stored["pretrained"]

    assert named(BASELINE, 0) is named("freeze_reinit", 0) is named("freeze_truncate", 0) is named("reinit", 0) is None
    assert {named("freeze", 0), named("fine_tune", 0), named("reinit", 1), named("freeze_truncate", 1)} == {
        "fingerprint"
    }


def test_a_run_is_decided_by_nothing_that_changes_no_number():
    own = transfer_settings()
    run, pretraining = own.run("freeze", 2, 0.1, ("a", "b"), "x"), own.pretraining_run(("c", "d"))
    other = transfer_settings(
        stack={"memory_mb": 5, "features_mb": 0, "images_at_once": 1},
        cuts=[2],
        modes=["freeze"],
        subsets=[{"fraction": 0.1, "repeats": 2}],
        classes={"label": "other", "pretraining": ["c", "d"], "fine_tuning": ["a", "b"]},
    )
    assert other.run("freeze", 2, 0.1, ("a", "b"), "x") == run
    assert other.pretraining_run(("c", "d")) == pretraining
    assert PretrainingRunSettings.model_validate(pretraining).model_dump(mode="json") == pretraining
    longer = transfer_settings(fine_tuning={"training": {"epochs": 41}})
    assert longer.run("freeze", 2, 0.1, ("a", "b"), "x") != run
    assert longer.pretraining_run(("c", "d")) == pretraining
    changes = [("freeze", 3, 0.1, ("a", "b"), "x"), ("freeze", 2, 0.2, ("a", "b"), "x")]
    changes += [("freeze", 2, 0.1, ("a", "c"), "x"), ("freeze", 2, 0.1, ("a", "b"), "y")]
    assert all(own.run(*change) != run for change in changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cuts": [3, 7]}, "cuts has 7, but network.channels has 6 convolutions"),
        ({"cuts": [-1]}, "greater than or equal to 0"),
        ({"cuts": [1, 2, 1]}, "cuts has 1 twice"),
        ({"modes": ["freeze", "freeze"]}, "modes has freeze twice"),
        ({"modes": []}, "at least 1 item"),
        ({"modes": ["thaw"]}, "freeze_reinit"),
        ({"subsets": [{"fraction": 0.1, "repeats": 2}, {"fraction": 0.1, "repeats": 3}]}, "subsets has 0.1 twice"),
        ({"subsets": [{"fraction": 0.0, "repeats": 2}]}, "greater than 0"),
        ({"subsets": [{"fraction": 1.5, "repeats": 2}]}, "less than or equal to 1"),
        ({"subsets": [{"fraction": 0.5, "repeats": 0}]}, "greater than or equal to 1"),
        ({"subsets": []}, "at least 1 item"),
        ({"pretraining": {"seeds": [3, 4, 3]}}, "pretraining.seeds has 3 twice"),
        ({"pretraining": {"seeds": []}}, "at least 1 item"),
        ({"classes": {"pretraining": []}}, "at least 1 item"),
        ({"classes": {"label": "a/b", "pretraining": ["a"], "fine_tuning": ["b"]}}, "should match pattern"),
        ({"protocol": "published"}, "set fine_tuning.validation: whole"),
        ({"fine_tuning": {"validation_share": 0.6}}, "less than or equal to 0.5"),
        ({"network": {"channels": []}}, "at least 1 item"),
        ({"network": {"head": "attention"}}, "global_average"),
        ({"network": {"depth": 5}}, "depth"),
        ({"fine_tuning": {"training": {"steps_per_epoch": 0}}}, "greater than or equal to 1"),
        ({"fine_tuning": {"training": {"restore": "last"}}}, "best_if_stopped"),
        ({"stack": {"images_at_once": 0}}, "greater than or equal to 1"),
    ],
)
def test_what_cannot_be_meant_is_refused(changes, message):
    with pytest.raises(ValidationError, match=message):
        transfer_settings(**changes)


def test_a_first_dense_layer_that_does_not_fit_a_truncated_network_cannot_be_kept():
    def truncated(**network):
        return transfer_settings(network=DEEP | network, reinit_both_dense=False, modes=["freeze", "freeze_truncate"])

    with pytest.raises(ValidationError, match="reinit_both_dense: false keeps the first dense layer"):
        truncated()
    with pytest.raises(ValidationError, match="reinit_both_dense: false keeps the first dense layer"):
        truncated(head="global_average", channels=[8, 8, 16])
    assert truncated(head="global_average").reinit_both_dense is False
    assert transfer_settings(network=DEEP, modes=["freeze_truncate"]).reinit_both_dense
    assert not transfer_settings(network=DEEP, modes=["freeze"], reinit_both_dense=False).reinit_both_dense
