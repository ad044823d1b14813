from vision_studies.config.merge import merge_settings

BASE = {"model": {"name": "resnet", "width": 8}, "epochs": 3, "steps": [1, 2]}


def test_overrides_reach_inside_groups():
    assert merge_settings(BASE, {"model": {"width": 16}})["model"] == {"name": "resnet", "width": 16}
    assert BASE["model"] == {"name": "resnet", "width": 8}


def test_a_group_of_another_name_replaces_the_old_one():
    assert merge_settings(BASE, {"model": {"name": "vit", "depth": 2}})["model"] == {"name": "vit", "depth": 2}


def test_where_a_search_looks_is_replaced_by_another_kind_and_narrowed_by_the_same():
    ends, choices = {"low": 0.1, "high": 1.0, "scale": "log"}, {"choices": [1.0, 2.0]}
    for before, after in (
        (ends, choices),
        (choices, ends),
        (choices, {"options": {"a": 1}}),
        (ends, {"lowest": 1, "highest": 3}),
    ):
        assert merge_settings({"space": before}, {"space": after}) == {"space": after}
    assert merge_settings({"space": ends}, {"space": {"high": 0.5}}) == {"space": ends | {"high": 0.5}}
    assert merge_settings({"space": ends}, {"space": {"low": 0.2, "high": 0.5}})["space"]["scale"] == "log"


def test_lists_null_and_new_keys_replace():
    merged = merge_settings(BASE, {"steps": [5], "model": None, "extra": {"a": 1}})
    assert merged == {"model": None, "epochs": 3, "steps": [5], "extra": {"a": 1}}
