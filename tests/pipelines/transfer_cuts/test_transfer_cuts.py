"""Pretraining, cutting and fine-tuning on digits, against plain loops of torch."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, log_loss
from tests.pipelines.transfer_cuts.test_cut_networks import (
    DENSE_POINTS,
    DEPTH,
    FIRST,
    NETWORK,
    NEW,
    POINTS,
    expected_layers,
)
from tests.pipelines.transfer_cuts.test_transfer_cuts_settings import transfer_settings
from torch.nn import functional as F

from vision_studies.config.merge import merge_settings
from vision_studies.data.image_set import ImageSet
from vision_studies.data.loaders import epoch_order
from vision_studies.data.prepared import PreparedData
from vision_studies.errors import DataError
from vision_studies.models.statistics import count_macs, count_parameters
from vision_studies.outcomes import DIVERGED
from vision_studies.pipelines.transfer_cuts import work as transfer_cuts
from vision_studies.pipelines.transfer_cuts.cut_networks import (
    build_network,
    cut_network,
    pixel_tensor,
    pretraining_network,
)
from vision_studies.pipelines.transfer_cuts.settings import BASELINE, CutRunSettings, PretrainingRunSettings
from vision_studies.pipelines.transfer_cuts.work import (
    CutRun,
    evaluate_stack,
    member_bytes,
    pretrain,
    subset,
    train_stack,
)
from vision_studies.studies.method import WEIGHTS_FILE
from vision_studies.training.checkpoints import load_weights, save_weights
from vision_studies.training.ensemble import Member, TensorData, fit_ensemble, initial_network

CPU = torch.device("cpu")
TRAINING = {"epochs": 3, "steps_per_epoch": None, "batch_size": 16, "precision": "fp32", "early_stopping": None}
CHANGES = {
    "classes": {"label": "digits", "pretraining": [*FIRST], "fine_tuning": [*NEW]},
    "network": NETWORK,
    "reinit_both_dense": True,
    "pretraining": {"training": TRAINING},
    "fine_tuning": {"training": TRAINING},
    "stack": {"features_mb": 100, "images_at_once": 10_000},
}
PUBLISHED = {"protocol": "published", "fine_tuning": {"validation": "whole"}}
COLUMNS = ["train_loss", "train_accuracy", "validation_loss", "validation_accuracy"]


def study(**changes):
    return transfer_settings(**merge_settings(CHANGES, changes))


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Threads wait for each other longer than networks as small as these take."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def empty_store(monkeypatch):
    """Features that other tests have left behind would hide what is read."""
    monkeypatch.setattr(transfer_cuts, "_FEATURES", {})


@pytest.fixture
def earlier(digits, tmp_path):
    """A file of weights that are not those of any seed used here."""
    return stored_network(digits, tmp_path)


def stored_network(data, folder, **changes):
    settings = PretrainingRunSettings.model_validate(study(**changes).pretraining_run(FIRST))
    network = pretraining_network(settings, data, 1234)
    save_weights(network, folder / "earlier.safetensors")
    return folder / "earlier.safetensors", settings


def run_of(earlier, mode, cut, repeat=0, fraction=0.2, **changes):
    own = CutRunSettings.model_validate(study(**changes).run(mode, cut, fraction, NEW, "fingerprint"))
    return CutRun(own, repeat, *(earlier if own.pretrained else (None, None)))


def trained_weights(monkeypatch):
    """Weights that each member has in memory after its training, by place; filled by what is trained from now on."""
    found = {}
    fit = transfer_cuts.fit_ensemble

    def noted(*arguments, on_end, **options):
        def end(place, result):
            found[place] = result.weights
            on_end(place, result)

        fit(*arguments, on_end=end, **options)

    monkeypatch.setattr(transfer_cuts, "fit_ensemble", noted)
    return found


def train(stack, data, folder, **options):
    """What each member gave, and its weights as they were saved."""
    folder.mkdir(parents=True, exist_ok=True)
    found, saved = {}, {}
    train_stack(
        stack,
        data,
        folder,
        CPU,
        study(stack=options).stack,
        on_end=found.__setitem__,
        weights_file=lambda place: folder / f"{place}.safetensors",
    )
    for place, run in enumerate(stack):
        network = cut_network(run.settings, data, run.repeat, run.pretrained_network(data))
        load_weights(network, folder / f"{place}.safetensors")
        saved[place] = {name: value.clone() for name, value in network.state_dict().items()}
    return found, saved


def assert_equal(first, second):
    assert first.keys() == second.keys()
    assert all(torch.equal(value, second[name]) for name, value in first.items())


def train_plainly(run, data):
    """The plain loop: one whole network, torch's own optimiser, pixels only. Returns history and weights."""
    network = cut_network(run.settings, data, run.repeat, run.pretrained_network(data), start=0)
    training, optimizer = run.settings.fine_tuning.training, run.settings.fine_tuning.optimizer
    adam = torch.optim.AdamW(
        [parameter for parameter in network.parameters() if parameter.requires_grad],
        lr=optimizer.learning_rate,
        betas=optimizer.betas,
        eps=optimizer.eps,
        weight_decay=optimizer.weight_decay,
    )
    learns, validates = subset(run.settings, run.repeat, data)
    parts = []
    for positions in (learns, validates):
        names = [data.image_set.class_names[label] for label in data.image_set.labels[positions]]
        labels = torch.tensor([sorted(NEW).index(name) for name in names])
        parts.append((pixel_tensor(data, positions, torch.float32, CPU), labels))
    (images, labels), (others, truth) = parts
    rows = []
    for epoch in range(training.epochs):
        total = hits = 0.0
        for batch in epoch_order(len(learns), run.repeat, epoch, shuffle=True).split(training.batch_size):
            logits = network(images[batch])
            loss = F.cross_entropy(logits, labels[batch])
            adam.zero_grad()
            loss.backward()
            adam.step()
            total += float(loss.detach()) * len(batch)
            hits += int((logits.argmax(1) == labels[batch]).sum())
        with torch.no_grad():
            found = network(others)
        right = float((found.argmax(1) == truth).float().mean())
        rows.append((total / len(learns), hits / len(learns), float(F.cross_entropy(found, truth)), right))
    return np.array(rows), network.state_dict()


LAST = {"fine_tuning": {"training": {"restore": "best_if_stopped"}}}  # weights of the last epoch


@pytest.mark.parametrize(
    ("mode", "cut"),
    [(BASELINE, 0), ("freeze_reinit", 1), ("freeze_reinit", 3), ("freeze", 2), ("reinit", 2), ("fine_tune", 0)]
    + [("freeze_truncate", cut) for cut in (0, 1, 2)]
    + [("freeze", DEPTH)],
)
@pytest.mark.parametrize("options", [{}, {"features_mb": 0}, {"images_at_once": 1}])
def test_repeats_in_a_stack_equal_plain_trainings(digits, earlier, tmp_path, mode, cut, options):
    stack = [run_of(earlier, mode, cut, repeat, **LAST) for repeat in (0, 1, 5)]
    found, saved = train(stack, digits, tmp_path / "stack", **options)
    for place, run in enumerate(stack):
        rows, weights = train_plainly(run, digits)
        np.testing.assert_allclose(found[place].history[COLUMNS], rows, rtol=1e-5, atol=1e-6)
        for name, value in saved[place].items():
            torch.testing.assert_close(
                value, weights[name], rtol=1e-5, atol=1e-5, msg=lambda text, n=name: f"{n}: {text}"
            )


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "cut"), [("freeze_reinit", 2), ("fine_tune", 0), ("freeze_truncate", 1)])
def test_a_stack_equals_its_runs_alone(digits, earlier, tmp_path, mode, cut):
    stack = [run_of(earlier, mode, cut, repeat) for repeat in range(4)]
    found, saved = train(stack, digits, tmp_path / "stack")
    whole = {"features_mb": 0}
    other, also = train(stack, digits, tmp_path / "anew", **whole)
    for place, run in enumerate(stack):
        for number, options in enumerate([{}, whole, {"images_at_once": 3}]):
            alone, weights = train([run], digits, tmp_path / f"{place}_{number}", **options)
            for trained, kept in ((found, saved), (other, also)):
                np.testing.assert_allclose(
                    trained[place].history[COLUMNS], alone[0].history[COLUMNS], rtol=1e-5, atol=1e-6
                )
                for name, value in weights[0].items():
                    torch.testing.assert_close(kept[place][name], value, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("mode", "cut", "hidden", "both"), DENSE_POINTS)
def test_what_is_kept_stays_and_what_learns_changes(digits, earlier, tmp_path, monkeypatch, mode, cut, hidden, both):
    changes = {
        "network": {"hidden": hidden},
        "reinit_both_dense": both,
        "modes": ["freeze" if mode == BASELINE else mode],
        "fine_tuning": {"training": {"epochs": 1, "batch_size": 64}},  # two steps
    }
    own = stored_network(digits, tmp_path, **changes)
    run = run_of(own, mode, cut, 2, 0.3, **changes)
    pretrained = run_of(own, "freeze", 1, **changes).pretrained_network(digits).state_dict()
    first = cut_network(run.settings, digits, 2, run.pretrained_network(digits), start=0).state_dict()
    there, _, fixed = expected_layers(mode, cut)
    dense = {"fc"} if hidden is None else {"fc", "fc_2"}
    # Behind stored features there are the layers that learn; on pixels the frozen ones come along.
    in_memory = trained_weights(monkeypatch)
    _, saved = train([run], digits, tmp_path / "cached")
    cached = in_memory[0]
    assert {name.split(".")[0] for name in saved[0]} == (there - fixed) | dense
    _, also = train([run], digits, tmp_path / "anew", features_mb=0)
    anew = in_memory[0]
    assert {name.split(".")[0] for name in anew} == there | dense
    for weights in (saved[0], also[0], cached, anew):
        for name, value in weights.items():
            layer = name.split(".")[0]
            assert torch.equal(value, first[name]) == (layer in fixed), name
            if layer in fixed:
                assert torch.equal(value, pretrained[name]), name
            elif not name.endswith("bias"):  # a step of Adam is as long as its learning rate
                assert 1e-4 < float((value - first[name]).abs().max()) < 3e-3, name


def test_a_network_cut_before_everything_is_trained_to_the_bits_of_one_never_cut(digits, earlier, tmp_path):
    cut = run_of(earlier, "freeze_reinit", 0, 3)
    # The same cut with the pretrained file at hand, and under settings that name it.
    named = CutRun(cut.settings.model_copy(update={"pretrained": "fingerprint"}), 3, *earlier)
    results = [
        train([run], digits, tmp_path / str(place))
        for place, run in enumerate([run_of(earlier, BASELINE, 0, 3), cut, named])
    ]
    for found, saved in results[1:]:
        assert_equal(saved[0], results[0][1][0])
        assert found[0].history[COLUMNS].equals(results[0][0][0].history[COLUMNS])
    # And without anything of this study: a network on pixels, as it comes from its seed.
    network = initial_network(lambda: build_network(cut.settings.network, digits, len(NEW)), 3)
    positions = np.arange(len(digits.image_set.labels))
    labels = np.searchsorted([6, 7, 8, 9], digits.image_set.labels)
    learns, validates = map(torch.from_numpy, subset(cut.settings, 3, digits))
    pixels = pixel_tensor(digits, positions, torch.float32, CPU)
    tuning = cut.settings.fine_tuning
    ended = {}
    fit_ensemble(
        [Member(network, tuning.optimizer, 3)],
        TensorData(pixels, torch.from_numpy(labels), learns, validates),
        tuning.training,
        device=CPU,
        on_end=ended.__setitem__,
    )
    assert_equal(ended[0].weights, results[0][1][0])
    assert ended[0].history[COLUMNS].equals(results[0][0][0].history[COLUMNS])


@pytest.mark.parametrize(
    "points",
    [
        [("freeze_reinit", DEPTH), ("freeze", DEPTH), ("freeze_truncate", DEPTH)],
        [("reinit", DEPTH), ("fine_tune", 0), ("freeze", 0)],
        [(BASELINE, 0), ("reinit", 0)],
    ],
)
def test_places_of_the_table_that_are_one_network_are_trained_to_the_same_bits(digits, earlier, tmp_path, points):
    results = [
        train([run_of(earlier, *point, repeat=1)], digits, tmp_path / str(place))[1][0]
        for place, point in enumerate(points)
    ]
    for other in results[1:]:
        assert_equal(results[0], other)


def test_an_interrupted_stack_goes_on_to_the_same_bits(digits, earlier, tmp_path, monkeypatch):
    steps = {"fine_tuning": {"training": {"epochs": 6, "steps_per_epoch": 3}}}
    stack = [run_of(earlier, "freeze_reinit", 2, repeat, **steps) for repeat in (0, 1)]
    _, whole = train(stack, digits, tmp_path / "whole")
    fit = transfer_cuts.fit_ensemble

    def stopped(*arguments, **options):
        def stop(epoch, active):
            if epoch == 4:
                raise KeyboardInterrupt

        fit(*arguments, on_epoch=stop, **options)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(transfer_cuts, "fit_ensemble", stopped)
        train(stack, digits, tmp_path / "stopped", checkpoint_seconds=0)
    assert (tmp_path / "stopped/stack.safetensors").is_file()
    found, saved = train(stack, digits, tmp_path / "stopped", checkpoint_seconds=0)
    assert [len(found[place].history) for place in (0, 1)] == [6, 6]
    for place in (0, 1):
        assert_equal(saved[place], whole[place])


@pytest.mark.parametrize("switched", [True, False])
def test_the_deterministic_switch_reaches_torch_and_a_stack_repeats_itself_to_the_bit(
    digits, earlier, tmp_path, monkeypatch, switched
):
    allowed = set()
    fit = transfer_cuts.fit_ensemble

    def watched(*arguments, **options):
        allowed.add(torch.are_deterministic_algorithms_enabled())
        fit(*arguments, **options)

    monkeypatch.setattr(transfer_cuts, "fit_ensemble", watched)
    benchmark = torch.backends.cudnn.benchmark
    stack = [run_of(earlier, "freeze_reinit", 2, repeat) for repeat in (0, 1)]
    try:
        (_, first), (_, again) = (
            train(stack, digits, tmp_path / name, deterministic=switched) for name in ("first", "again")
        )
    finally:
        transfer_cuts.deterministic(False)
        torch.backends.cudnn.benchmark = benchmark
    assert allowed == {switched}
    for place in (0, 1):
        assert_equal(first[place], again[place])


@pytest.mark.parametrize(("mode", "cut"), [("freeze_truncate", 2), ("freeze_reinit", 3), (BASELINE, 0)])
def test_what_is_known_before_the_test_is_that_of_the_whole_network(digits, earlier, tmp_path, mode, cut):
    run = run_of(earlier, mode, cut)
    found, _ = train([run], digits, tmp_path / "own")
    metrics = found[0].metrics
    whole = cut_network(run.settings, digits, 0, run.pretrained_network(digits), start=0)
    assert metrics["parameters"] == count_parameters(whole)
    assert metrics["macs"] == count_macs(whole, (1, 8, 8))
    learns, validates = subset(run.settings, 0, digits)
    other = metrics["other_metrics"]
    assert (other["training_images"], other["validation_images"]) == (len(learns), len(validates))
    assert (other["epochs"], other["ended"]) == (3, "complete")
    best = found[0].history.set_index("epoch").loc[metrics["best_epoch"]]
    assert (
        metrics["validation_accuracy"] == best["validation_accuracy"] == found[0].history["validation_accuracy"].max()
    )
    assert not {name for name in metrics if name.startswith("test")}
    assert member_bytes(run, digits) > 4 * count_parameters(
        cut_network(run.settings, digits, 0, run.pretrained_network(digits))
    )


def test_a_run_that_diverges_says_so_and_saves_nothing(digits, earlier, tmp_path):
    fine_tuning = {"optimizer": {"learning_rate": 1e36}}
    found = {}
    train_stack(
        [run_of(earlier, "freeze", 2, fine_tuning=fine_tuning)],
        digits,
        tmp_path,
        CPU,
        study().stack,
        on_end=found.__setitem__,
        weights_file=lambda place: tmp_path / "weights.safetensors",
    )
    assert (found[0].status, found[0].reason) == (DIVERGED, "the loss was not finite")
    assert "validation_accuracy" not in found[0].metrics
    assert not (tmp_path / "weights.safetensors").exists()


# Which images are read, when, and for what.


class ReadImages(np.ndarray):
    """Images that remember which of them were read."""

    def __getitem__(self, key):
        if isinstance(key, np.ndarray):
            self.read.append(key)
        return np.asarray(self)[key]


@pytest.fixture
def marked(digits):
    """Digits with their own position in their first two pixels, and a memory of what is read."""
    own = digits.image_set
    images = own.images.copy()
    positions = np.arange(len(images))
    images[:, 0, 0, 0], images[:, 0, 1, 0] = positions // 256, positions % 256
    watched = images.view(ReadImages)
    watched.read = []
    image_set = ImageSet.create("marked", images, own.labels, own.class_names, own.is_test, {})
    return PreparedData(replace(image_set, images=watched), digits.splits, {})


@pytest.fixture
def taken(monkeypatch):
    """Positions of the images that training and validation were given; of pixels only."""
    given = []
    take = TensorData.take

    def watched(self, positions):
        images = take(self, positions)
        if images.shape[-3:] == (1, 8, 8):
            marks = torch.round((images[..., 0, 0, :2].reshape(-1, 2) + 1) * 127.5).long()
            given.append((torch.is_inference_mode_enabled(), marks[:, 0] * 256 + marks[:, 1]))
        return images

    monkeypatch.setattr(TensorData, "take", watched)

    def positions(validation):
        return {int(place) for mode, marks in given if mode == validation for place in marks}

    return positions


def was_read(data):
    found = {int(place) for key in data.image_set.images.read for place in key}
    data.image_set.images.read.clear()
    return found


def of_classes(data, names, *splits):
    labels = [data.image_set.class_names.index(name) for name in names]
    everything = np.concatenate([getattr(data.splits, split) for split in splits])
    return {int(place) for place in everything if data.image_set.labels[place] in labels}


@pytest.mark.parametrize(
    ("mode", "cut"), [(BASELINE, 0), ("freeze_reinit", 2), ("freeze_truncate", 1), ("fine_tune", 0)]
)
@pytest.mark.parametrize("validation", ["counted", "whole"])
@pytest.mark.parametrize("features_mb", [100, 0])
def test_fine_tuning_reads_no_test_image_and_learns_from_its_fraction_alone(
    marked, taken, tmp_path, mode, cut, validation, features_mb
):
    earlier = stored_network(marked, tmp_path)
    stack = [run_of(earlier, mode, cut, repeat, 0.3, fine_tuning={"validation": validation}) for repeat in (0, 1)]
    was_read(marked)
    train(stack, marked, tmp_path / "own", features_mb=features_mb)
    read = was_read(marked)
    assert read <= of_classes(marked, NEW, "train", "validation")
    assert not read & {*marked.splits.test.tolist()}
    drawn = [subset(run.settings, run.repeat, marked) for run in stack]
    learns, validates = ({int(place) for own in drawn for place in own[part]} for part in (0, 1))
    if mode in (BASELINE, "fine_tune") or not features_mb:
        assert taken(validation=False) == learns
        assert taken(validation=True) == validates
    assert learns <= of_classes(marked, NEW, "train")
    if validation == "whole":
        assert validates == of_classes(marked, NEW, "validation")
    else:
        assert validates <= of_classes(marked, NEW, "train")
        assert not any({*own[0]} & {*own[1]} for own in drawn)
        assert sum(map(len, drawn[0])) == 4 * int(len(of_classes(marked, NEW, "train")) * 0.3 / 4)


@pytest.mark.parametrize("protocol", [{}, PUBLISHED])
def test_pretraining_reads_its_test_images_once_it_has_ended(marked, taken, tmp_path, monkeypatch, protocol):
    settings = PretrainingRunSettings.model_validate(study(**protocol).pretraining_run(FIRST))
    read_in_training = []
    fit = transfer_cuts.fit_ensemble

    def watched(*arguments, **options):
        fit(*arguments, **options)
        read_in_training.append(was_read(marked))

    monkeypatch.setattr(transfer_cuts, "fit_ensemble", watched)
    trained = pretrain(settings, 0, marked, tmp_path, CPU, study().stack)
    pool = of_classes(marked, FIRST, "train", "validation")
    assert read_in_training == [pool]
    assert was_read(marked) == of_classes(marked, FIRST, "test")
    assert taken(validation=False) | taken(validation=True) == pool
    assert not taken(validation=False) & taken(validation=True)
    if not protocol:
        assert taken(validation=False) == of_classes(marked, FIRST, "train")
    else:
        assert len(taken(validation=True)) == int(0.1 * len(pool))
    network = build_network(settings.network, marked, len(FIRST))
    load_weights(network, tmp_path / WEIGHTS_FILE)
    accuracy, loss = scores_of(network, marked, sorted(of_classes(marked, FIRST, "test")), FIRST)
    assert trained.metrics["test_accuracy"] == pytest.approx(accuracy)
    assert trained.metrics["test_loss"] == pytest.approx(loss, rel=1e-4)


def scores_of(network, data, positions, classes):
    """Accuracy and loss of a whole network, by scikit-learn."""
    positions = np.array(positions)
    names = [data.image_set.class_names[label] for label in data.image_set.labels[positions]]
    with torch.no_grad():
        shares = network(pixel_tensor(data, positions, torch.float32, CPU)).double().softmax(1).numpy()
    was_read(data)
    predicted = np.array(sorted(classes))[shares.argmax(1)]
    return accuracy_score(names, predicted), log_loss(names, shares, labels=sorted(classes))


def test_pretraining_is_the_plain_training_of_a_network(marked, tmp_path):
    settings = PretrainingRunSettings.model_validate(study(**LAST_OF_PRETRAINING).pretraining_run(FIRST))
    pretrain(settings, 7, marked, tmp_path, CPU, study().stack)
    network = pretraining_network(settings, marked, 7)
    adam = torch.optim.Adam(network.parameters(), lr=1e-3)
    learns = np.array(sorted(of_classes(marked, FIRST, "train")))
    labels = torch.from_numpy(np.searchsorted([0, 1, 2, 3, 4, 5], marked.image_set.labels[learns]))
    images = pixel_tensor(marked, learns, torch.float32, CPU)
    for epoch in range(3):
        for batch in epoch_order(len(learns), 7, epoch, shuffle=True).split(16):
            adam.zero_grad()
            F.cross_entropy(network(images[batch]), labels[batch]).backward()
            adam.step()
    found = build_network(settings.network, marked, len(FIRST))
    load_weights(found, tmp_path / WEIGHTS_FILE)
    for name, value in found.state_dict().items():
        torch.testing.assert_close(value, network.state_dict()[name], rtol=1e-5, atol=1e-5)


LAST_OF_PRETRAINING = {"pretraining": {"training": {"restore": "best_if_stopped"}}}


@pytest.mark.parametrize("protocol", [{}, PUBLISHED])
@pytest.mark.parametrize(("mode", "cut"), [(BASELINE, 0), ("freeze_reinit", 2), ("freeze_truncate", 1)])
def test_networks_are_scored_on_the_test_images_of_their_protocol(marked, tmp_path, protocol, mode, cut):
    earlier = stored_network(marked, tmp_path)
    stack = [run_of(earlier, mode, cut, repeat, fraction, **protocol) for repeat, fraction in ((0, 0.1), (1, 0.3))]
    files, networks = [], []
    for run in stack:
        own, saved = train([run], marked, tmp_path / str(run.repeat))
        files.append(tmp_path / str(run.repeat) / "0.safetensors")
        network = cut_network(run.settings, marked, run.repeat, run.pretrained_network(marked), start=0)
        network.load_state_dict(network.state_dict() | saved[0])
        networks.append(network)
        assert "best_epoch" in own[0].metrics
    was_read(marked)
    outcomes = evaluate_stack([*zip(stack, files, strict=True)], marked, CPU)
    read = was_read(marked)
    test = of_classes(marked, NEW, *(("train", "validation") if protocol else ("test",)))
    learnt = {int(place) for run in stack for place in subset(run.settings, run.repeat, marked)[0]}
    assert read == test | learnt
    if protocol:
        assert not read & {*marked.splits.test.tolist()}
    for run, network, outcome in zip(stack, networks, outcomes, strict=True):
        score, [said] = outcome.metrics, outcome.predictions
        assert said.accuracy == score["test_accuracy"]
        assert said.indices.tolist() == sorted(test)
        np.testing.assert_array_equal(said.classes[said.labels], marked.image_set.labels[said.indices])
        assert score["other_metrics"]["test_images"] == len(test)
        accuracy, loss = scores_of(network, marked, sorted(test), NEW)
        assert score["test_accuracy"] == pytest.approx(accuracy)
        assert score["test_loss"] == pytest.approx(loss, rel=1e-4)
        learns = subset(run.settings, run.repeat, marked)[0]
        assert score["other_metrics"]["train_accuracy"] == pytest.approx(scores_of(network, marked, learns, NEW)[0])


def test_under_the_published_protocol_a_tenth_validates_whatever_the_fraction(digits, earlier):
    pool = of_classes(digits, NEW, "train", "validation")
    runs = [run_of(earlier, "freeze", 1, repeat, fraction, **PUBLISHED) for repeat in (0, 1) for fraction in (0.1, 1.0)]
    parts = [subset(run.settings, run.repeat, digits) for run in runs]
    assert len({tuple(validates) for _, validates in parts}) == 1
    assert len(parts[0][1]) == int(0.1 * len(pool))
    assert all({*learns} | {*validates} <= pool for learns, validates in parts)
    assert {*parts[0][0]} < {*parts[1][0]}
    assert {*parts[2][0]} < {*parts[3][0]}
    assert {*parts[0][0]} != {*parts[2][0]}


def test_subsets_are_the_same_at_every_cut_and_in_every_mode(digits, earlier):
    drawn = {
        tuple(np.concatenate(subset(run_of(earlier, mode, cut, 4).settings, 4, digits)).tolist())
        for mode, cut in POINTS
    }
    assert len(drawn) == 1


@pytest.mark.parametrize(
    ("changes", "fraction", "message"),
    [
        ({}, 0.02, r"a fraction of 0.02 of \d+ training images is 1 a class, and two images \(one to learn"),
        ({}, 0.001, "is 0 a class, and two images"),
        (PUBLISHED, 0.001, "transfer_cuts.subsets: .* is 0 a class, and one image are needed; raise it.$"),
    ],
)
def test_a_fraction_that_is_too_small_is_refused(digits, earlier, changes, fraction, message):
    with pytest.raises(DataError, match=message):
        subset(run_of(earlier, "freeze", 1, 0, fraction, **changes).settings, 0, digits)


def test_one_image_a_class_is_enough_where_validation_is_not_counted(digits, earlier):
    learns, validates = subset(run_of(earlier, "freeze", 1, 0, 0.02, **PUBLISHED).settings, 0, digits)
    assert np.bincount(digits.image_set.labels[learns]).tolist() == [0] * 6 + [1] * 4
    assert len(validates) > 4


def test_features_are_computed_once_for_runs_of_one_cut(marked, tmp_path):
    earlier = stored_network(marked, tmp_path)
    was_read(marked)
    train([run_of(earlier, "freeze", 2, 0)], marked, tmp_path / "first")
    assert len(was_read(marked)) > 1
    for repeat, fraction in ((1, 0.2), (0, 0.4)):
        train([run_of(earlier, "freeze_reinit", 2, repeat, fraction)], marked, tmp_path / f"{repeat}{fraction}")
        assert len(was_read(marked)) <= 1  # one tells how large features are
    train([run_of(earlier, "freeze", 1, 0)], marked, tmp_path / "other")
    assert len(was_read(marked)) > 1


def test_other_weights_have_other_features(marked, tmp_path):
    weights = []
    for seed in (1, 2):
        (tmp_path / str(seed)).mkdir()
        file, settings = stored_network(marked, tmp_path / str(seed))
        if seed == 2:
            network = pretraining_network(settings, marked, 99)
            save_weights(network, file)
        weights.append(train([run_of((file, settings), "freeze_reinit", 2)], marked, tmp_path / f"own{seed}")[1][0])
    assert not torch.equal(weights[0]["fc.weight"], weights[1]["fc.weight"])
