"""Data folders of two machines with one store."""

import hashlib
import json
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.storage.conftest import ONCE, machine, write_images, write_run

from vision_studies.data.image_set import ImageSet
from vision_studies.errors import DataError, StorageError
from vision_studies.storage import kept_data
from vision_studies.storage.kept_data import detach, fetched, kept_with
from vision_studies.storage.store import FileEntry, Store

RUN = "06_models/study/cifar_resnet/runs/abc"


@pytest.fixture
def machines(tmp_path, store):
    return machine(tmp_path / "first", store), machine(tmp_path / "second", store)


def accuracy(kept, stage="training"):
    return json.loads((kept.root / RUN / f"{stage}.json").read_text())["metrics"]["accuracy"]


@pytest.mark.slow
def test_images_and_runs_come_to_another_machine_through_s3(tmp_path, s3):
    store = Store(s3.url, s3.options)
    first, second = machine(tmp_path / "first", store), machine(tmp_path / "second", store)
    images = write_images(first)
    folder = write_run(first)
    search = first.root / "06_models/study/stacking/search/a/journal.log"
    search.parent.mkdir(parents=True)
    search.write_text("trials")
    tables = first.root / "07_model_output/study/cifar_resnet/results.parquet"
    tables.parent.mkdir(parents=True)
    tables.write_bytes(b"table")
    assert first.keep_all()[0] == 4
    assert first.keep_all() == (0, 0)
    assert second.fetch_all() == 4
    assert second.fetch_all() == 0
    opened = ImageSet.open(second.root / "03_primary/digits-1/image_set")
    np.testing.assert_array_equal(opened.images, images.images)
    assert opened.fingerprint == images.fingerprint
    there = second.root / RUN
    kept = {str(path.relative_to(there)) for path in there.rglob("*") if path.is_file()}
    assert kept == {"run.json", "training.json", "weights.safetensors"}
    assert all((there / name).read_bytes() == (folder / name).read_bytes() for name in kept)
    assert (second.root / search.relative_to(first.root)).read_text() == "trials"
    assert (second.root / tables.relative_to(first.root)).read_bytes() == b"table"
    assert second.compare() == ([], [])


@pytest.mark.slow
def test_only_what_has_changed_is_sent(tmp_path, s3):
    kept = machine(tmp_path, Store(s3.url, s3.options))
    write_run(kept, training="complete")
    kept.keep_all()
    del s3.requests[:]
    write_run(kept, training="complete", evaluation="complete")
    kept.keep_all()
    put = [line for line in s3.requests if "PUT" in line]
    assert len(put) == 2, put  # the new stage, and the index
    assert sum("/index/" in line for line in put) == 1


def test_stages_of_two_machines_come_together(machines):
    first, second = machines
    write_run(first)
    first.keep_all()
    second.fetch_all()
    write_run(second, training="complete", evaluation="complete")
    second.keep_all()
    assert first.keep_all() == (0, 0)  # what the second has added is not undone by the first
    first.fetch_all()
    assert accuracy(first, "evaluation") == 0.5


def test_a_run_that_was_trained_anew_leaves_nothing_of_the_former_one(machines):
    first, second = machines
    write_run(first, training="complete", evaluation="complete")
    first.keep_all()
    second.fetch_all()
    shutil.rmtree(first.root / RUN)
    first.forget(first.root / RUN)
    assert not first.fetch(first.root / RUN)
    write_run(first, accuracy=0.75)
    first.keep_all()
    second.fetch_all()
    assert accuracy(second) == 0.75
    assert not (second.root / RUN / "evaluation.json").exists()
    assert (second.root / RUN / "weights.safetensors").read_bytes()[-1] == 75


def test_a_failure_takes_no_results_place(machines):
    first, second = machines
    write_run(second, training="complete")
    second.keep_all()
    write_run(first, training="failed")
    assert first.keep_all() == (0, 0)
    assert first.fetch(first.root / RUN)
    assert json.loads((first.root / RUN / "training.json").read_text())["status"] == "complete"


def test_what_was_found_here_is_not_replaced_by_what_another_found(machines):
    first, second = machines
    write_run(first, accuracy=0.5)
    write_run(second, accuracy=0.25)
    first.keep_all()
    assert second.fetch_all() == 0
    assert accuracy(second) == 0.25


def test_tables_of_two_machines_stay_side_by_side(machines):
    for number, kept in enumerate(machines):
        folder = kept.root / "08_reporting/study/run_records"
        folder.mkdir(parents=True)
        (folder / f"{number}.json").write_text("{}")
        kept.keep_all()
    for kept in machines:
        kept.fetch_all()
        assert len([*(kept.root / "08_reporting/study/run_records").iterdir()]) == 2
    assert [kept.compare() for kept in machines] == [([], [])] * 2


def test_a_folder_that_was_half_sent_is_not_taken_for_whole(machines, monkeypatch):
    first, second = machines
    write_run(first)

    def killed(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Store, "write_index", killed)
        with pytest.raises(KeyboardInterrupt):
            first.keep_all()
    assert second.fetch_all() == 0
    assert not (second.root / RUN).exists()
    assert first.keep_all()[0] == 1
    assert second.fetch_all() == 1


def test_an_index_that_was_half_written_leaves_the_former_one_in_force(machines, tmp_path):
    first, second = machines
    write_run(first)
    first.keep_all()
    (index,) = (tmp_path / "server/index" / RUN).iterdir()
    index.with_name(index.name.replace("00000001-", "00000002-")).write_bytes(index.read_bytes()[:20])
    assert second.fetch_all() == 1
    assert accuracy(second) == 0.5


@pytest.mark.parametrize("damage", ["swapped", "missing"])
def test_content_that_is_not_what_its_hash_says_is_refused_and_made_anew(machines, tmp_path, damage, caplog):
    first, second = machines
    folder = write_run(first)
    first.keep_all()
    for content in (tmp_path / "server/objects").rglob("*"):
        if content.is_file() and content.read_bytes() == (folder / "weights.safetensors").read_bytes():
            content.write_bytes(b"\0" * content.stat().st_size) if damage == "swapped" else content.unlink()
    assert second.fetch_all() == 0
    assert "missing or damaged" in caplog.text
    assert not (second.root / RUN / "training.json").exists()
    first.keep_all()  # whoever still has the run heals the store
    assert second.fetch_all() == 1
    assert (second.root / RUN / "weights.safetensors").read_bytes() == (folder / "weights.safetensors").read_bytes()


@pytest.mark.parametrize(
    "name",
    ["../out", "/srv/out", "a/../../out", "a//b", "./a", "C:\\out", "a\\..\\out", ".lock", "a/.ssh/b", "", "a\0b"],
)
def test_an_index_cannot_write_outside_its_folder(machines, name):
    first, second = machines
    write_run(first)
    first.keep_all()
    content = b"x"
    sha256 = hashlib.sha256(content).hexdigest()
    first.store.write_contents({sha256: content})
    first.store.write_index(RUN, {name: FileEntry(sha256, 1)}, first.store.newest_indexes(RUN)[RUN])
    before = sorted(path for path in second.root.parent.parent.rglob("*") if ".store" not in path.parts)
    with pytest.raises(StorageError, match="is refused"):
        second.fetch_all()
    assert sorted(path for path in second.root.parent.parent.rglob("*") if ".store" not in path.parts) == before


def test_a_link_in_the_folder_leads_no_file_elsewhere(machines, tmp_path):
    first, second = machines
    folder = first.root / "07_model_output/study/cifar_resnet/evaluation"
    folder.mkdir(parents=True)
    (folder / "predictions.csv").write_text("ID,Labels")
    first.keep_all()
    (tmp_path / "elsewhere").mkdir()
    (second.root / "07_model_output/study/cifar_resnet").mkdir(parents=True)
    (second.root / "07_model_output/study/cifar_resnet/evaluation").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StorageError, match="leads out of"):
        second.fetch_all()
    assert not [*(tmp_path / "elsewhere").iterdir()]


@pytest.mark.slow
def test_a_store_that_goes_down_loses_nothing(tmp_path, s3, caplog):
    kept = machine(tmp_path / "first", Store(s3.url, s3.options | ONCE))
    host, port = s3.server.get_host_and_port()
    write_run(kept)
    kept.keep_or_later([kept.root / RUN])
    s3.server.stop()
    folder = write_run(kept, "def")
    kept.keep_or_later([folder])
    assert caplog.text.count("cannot be used") == 1
    assert "storage.url" in caplog.text
    kept.keep_or_later([write_run(kept, "ghi")])  # is not tried: the next seconds are not spent on a store that is down
    assert caplog.text.count("cannot be used") == 1
    with pytest.raises(StorageError, match="check storage.url"):
        kept.keep_all()
    with pytest.raises(StorageError, match="check storage.url"):
        kept.fetch_all()
    from moto.server import ThreadedMotoServer

    s3.server = ThreadedMotoServer(ip_address=host, port=port, verbose=False)
    s3.server.start()
    assert kept.keep_all()[0] == 2
    second = machine(tmp_path / "second", kept.store)
    assert second.fetch_all() == 3


def test_a_bucket_or_a_folder_that_is_not_there_is_told_of(tmp_path, s3):
    with pytest.raises(StorageError, match="bucket does not exist"):
        machine(tmp_path, Store("s3://another/folder", s3.options)).fetch_all()
    away = Store(f"file://{tmp_path}/not/mounted", {})
    write_run(machine(tmp_path, away))
    for action in (machine(tmp_path, away).fetch_all, machine(tmp_path, away).keep_all):
        with pytest.raises(StorageError, match="mount its file server"):
            action()
    assert not (tmp_path / "not").exists()


def test_an_unknown_protocol_is_told_of(tmp_path):
    with pytest.raises(StorageError, match=r"storage.url is 'nothing://x'"):
        machine(tmp_path, Store("nothing://x", {})).fetch_all()


def test_a_store_may_be_a_whole_file_system(tmp_path):
    import fsspec

    store = Store("memory://", {})
    first, second = machine(tmp_path / "first", store), machine(tmp_path / "second", store)
    write_run(first)
    try:
        assert first.keep_all()[0] == 1
        assert second.fetch_all() == 1
        assert accuracy(second) == 0.5
    finally:
        fsspec.filesystem("memory").store.clear()


@pytest.mark.slow
def test_workers_without_the_images_fetch_them_once(tmp_path, s3):
    store = Store(s3.url, s3.options)
    kept = machine(tmp_path / "cluster", store)
    images = write_images(kept, count=60_000)  # 11 MB: larger than what travels together
    kept.keep_all()
    sent = pickle.dumps(images)  # as a worker is sent it: this test's own, and nothing from outside
    assert len(sent) < 1000
    shutil.rmtree(kept.root)  # as on a machine that has nothing of the project but its code
    del s3.requests[:]
    script = "import pickle, sys; print(pickle.load(sys.stdin.buffer).images.sum(dtype='int64'))"
    workers = [
        subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    for worker in workers:
        worker.stdin.write(sent)
        worker.stdin.flush()
        worker.stdin.close()
    sums = set()
    for worker in workers:
        with worker.stdout as printed:
            sums.add(int(printed.read()))
    assert [worker.wait() for worker in workers] == [0, 0]
    assert sums == {int(images.images.sum(dtype="int64"))}

    def fetched():
        return [line for line in s3.requests if "GET" in line and "/objects/" in line]

    assert len(fetched()) == 4, fetched()  # each file once: images, labels, test split, description
    assert isinstance(pickle.loads(sent).images, np.memmap)
    assert len(fetched()) == 4, fetched()  # a third process finds them on the disk


def test_images_that_no_store_has_are_told_of(machines):
    first, _ = machines
    sent = pickle.dumps(write_images(first))
    shutil.rmtree(first.root)
    with pytest.raises(DataError, match="does not have it either"):
        pickle.loads(sent)


def test_the_data_folder_remembers_its_store(tmp_path, machines):
    first, _ = machines
    folder = first.root / RUN
    assert kept_with(folder) == first
    assert kept_with(first.root / "06_models/another/cifar_resnet/runs") is None
    assert kept_with(tmp_path) is None
    detach(first.root, first.places)
    assert kept_with(folder) is None


def test_another_store_is_told_everything(machines, tmp_path):
    first, _ = machines
    write_run(first)
    first.keep_all()
    (tmp_path / "other").mkdir()
    other = machine(tmp_path / "first", Store(f"file://{tmp_path}/other", {}))
    assert other.keep_all()[0] == 1


def test_a_run_that_has_not_ended_is_not_kept(machines):
    first, second = machines
    folder = write_run(first)
    (folder / "training.json").unlink()
    first.keep_or_later([folder])
    assert not first.store.newest_indexes(RUN)
    assert first.keep_all() == (0, 0)
    write_run(second)
    second.keep_all()
    assert first.fetch(folder)  # another machine was quicker
    assert accuracy(first) == 0.5
    assert (folder / "checkpoints/epoch_0002.safetensors").exists()


def test_a_file_that_is_replaced_while_it_is_sent_is_sent_again(machines, monkeypatch):
    first, second = machines
    write_run(first)
    real = Path.read_bytes

    def replaced(path):
        if path.name == "weights.safetensors":
            write_run(first, accuracy=0.75)
        return real(path)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", replaced)
        with pytest.raises(StorageError, match="was written while it was sent"):
            first.keep_all()
    first.keep_all()
    second.fetch_all()
    assert accuracy(second) == 0.75


def test_a_store_that_is_asked_again_after_a_while(machines, monkeypatch):
    first, _ = machines
    folder = write_run(first)
    with first._or_later():
        raise StorageError("down.")
    first.keep_or_later([folder])
    assert not first.store.newest_indexes(RUN)
    monkeypatch.setattr(kept_data, "_PAUSE", 0.0)
    first.keep_or_later([folder])
    assert first.store.newest_indexes(RUN)


def test_weights_and_features_of_other_runs_are_fetched_by_who_reads_them(machines):
    import torch

    from vision_studies.errors import CheckpointError
    from vision_studies.training.checkpoints import load_state, save_state

    first, second = machines
    write_run(first)
    save_state(first.root / RUN / "weights.safetensors", {"a": torch.ones(2)})
    features = first.root / "06_models/study/alphanet/runs/features/of/train.npy"
    features.parent.mkdir(parents=True)
    features.write_bytes(b"features")
    assert first.keep_all(runs=False)[0] == 1  # what runs share; a run is kept when it ends
    first.keep_or_later([first.root / RUN])
    assert load_state(second.root / RUN / "weights.safetensors")["a"].tolist() == [1, 1]
    there = second.root / features.relative_to(first.root)
    assert fetched(there).read_bytes() == b"features"
    with pytest.raises(CheckpointError, match="There is no checkpoint"):
        load_state(second.root / "06_models/study/none.safetensors")
