"""The project's own layout: what is saved is loaded, and anything else is refused."""

import hashlib
import json
from dataclasses import asdict

import pytest
import torch
from safetensors import safe_open

from k4d_world_model.errors import CheckpointError
from k4d_world_model.wan.architecture import Architecture, CodecSize, RobotTokenSize, TransformerSize
from k4d_world_model.wan.checkpoint import load_checkpoint, read_architecture, save_checkpoint
from k4d_world_model.wan.codec import PixelCodec
from k4d_world_model.wan.head import head_channels
from k4d_world_model.wan.transformer import build_transformer

TINY = Architecture(
    frames=9,
    height=24,
    width=40,
    first_frame_geometry="measured",
    normalization="robot",
    robot_pictures="rendered",
    prior="frozen_world",
    head="motion",
    codec=CodecSize("pixels", 4, 4, 192),
    transformer=TransformerSize((1, 1, 1), 2, 12, 30, 1, 20, 0),
    robot_tokens=RobotTokenSize(3, (2, 1, 3)),
)


@pytest.fixture(scope="module")
def tiny():
    torch.manual_seed(3)
    return build_transformer(TINY, head_channels(TINY)).eval()


@pytest.fixture
def saved(tiny, tmp_path):
    save_checkpoint(tmp_path / "model", tiny, TINY, metadata={"steps": "12"}, card="# A model\n")
    return tmp_path / "model"


def load(folder, dtype=torch.float32):
    return load_checkpoint(folder, device="cpu", dtype=dtype)


def test_a_saved_model_comes_back_bit_by_bit(tiny, saved) -> None:
    parts = load(saved)
    assert parts.architecture == TINY
    assert isinstance(parts.codec, PixelCodec)
    assert parts.image_encoder is None
    assert parts.transformer.config == tiny.config
    mine, theirs = parts.transformer.state_dict(), tiny.state_dict()
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)
    weights = saved / "transformer.safetensors"
    assert parts.weights_sha256 == hashlib.sha256(weights.read_bytes()).hexdigest()
    with safe_open(weights, "pt") as file:
        assert file.metadata() == {"format": "pt", "steps": "12"}
    files = sorted(path.name for path in saved.iterdir())
    assert files == ["README.md", "architecture.json", "transformer.safetensors"]


def test_a_loaded_model_does_not_change_when_its_file_does(tiny, saved) -> None:
    parts = load(saved)
    before = parts.transformer.proj_out.weight.clone()
    weights = saved / "transformer.safetensors"
    with weights.open("r+b") as file:
        file.seek(weights.stat().st_size // 2)
        file.write(b"\x00" * (weights.stat().st_size // 2))
    assert torch.equal(parts.transformer.proj_out.weight, before)


def test_half_precision_halves_the_file_and_loads_in_any_precision(tiny, saved, tmp_path) -> None:
    save_checkpoint(tmp_path / "half", tiny, TINY, dtype=torch.float16)
    sizes = [(folder / "transformer.safetensors").stat().st_size for folder in (saved, tmp_path / "half")]
    assert sizes[1] < 0.6 * sizes[0]
    for name, tensor in load(tmp_path / "half").transformer.state_dict().items():
        assert tensor.dtype == torch.float32
        assert torch.equal(tensor, tiny.state_dict()[name].half().float())
    low = load(tmp_path / "half", torch.bfloat16).transformer
    assert low.proj_out.weight.dtype == torch.bfloat16
    assert low.blocks[0].norm2.weight.dtype == torch.float32


def test_saving_again_replaces_the_weights(tiny, saved) -> None:
    other = build_transformer(TINY, head_channels(TINY))
    save_checkpoint(saved, other, TINY)
    assert torch.equal(load(saved).transformer.proj_out.weight, other.proj_out.weight)
    assert (saved / "README.md").read_text() == "# A model\n"


def test_encoders_travel_with_the_weights(published, tmp_path) -> None:
    parts = (published.transformer, published.architecture, published.codec, published.image_encoder)
    save_checkpoint(tmp_path, *parts)
    loaded = load(tmp_path)
    for mine, theirs in (
        (loaded.transformer, published.transformer),
        (loaded.codec.vae, published.codec.vae),
        (loaded.image_encoder.model, published.image_encoder.model),
    ):
        assert all(torch.equal(tensor, theirs.state_dict()[name]) for name, tensor in mine.state_dict().items())
    with pytest.raises(CheckpointError, match="needs a WanVaeCodec"):
        save_checkpoint(tmp_path, *parts[:2])
    with pytest.raises(CheckpointError, match="image_dim=20 and None"):
        save_checkpoint(tmp_path, *parts[:3])


def test_weights_that_cannot_be_stored_are_refused_before_anything_is_written(tiny, tmp_path) -> None:
    large = build_transformer(TINY, head_channels(TINY))
    with torch.no_grad():
        large.proj_out.bias[0], large.robot_projection.bias[1] = 7e4, 1e6
    with pytest.raises(CheckpointError, match=r"finite in torch.float16, got others in proj_out\.bias, robot_proj"):
        save_checkpoint(tmp_path / "model", large, TINY, dtype=torch.float16)
    with pytest.raises(CheckpointError, match=r"got torch\.bfloat16"):
        save_checkpoint(tmp_path / "model", tiny, TINY, dtype=torch.bfloat16)
    with pytest.raises(CheckpointError, match=r"2 of another shape: proj_out\.bias"):
        save_checkpoint(tmp_path / "model", build_transformer(TINY, 5), TINY)
    assert not (tmp_path / "model").exists()


def test_weights_of_another_architecture_are_refused_with_a_list(saved) -> None:
    content = asdict(TINY)
    content["transformer"]["num_layers"] = 2
    content["transformer"]["ffn_dim"] = 31
    (saved / "architecture.json").write_text(json.dumps(content))
    with pytest.raises(
        CheckpointError, match=r"missing: blocks\.1\..*3 of another shape: blocks\.0\.ffn\.net\.0\.proj"
    ):
        load(saved)


@pytest.mark.parametrize(("change", "message"), [
    ({"colour": 1}, "unknown key 'colour'"), ({"frames": "nine"}, "frames"), ({"frames": 10}, "1 \\+ a multiple of 4"),
    ({"condition": "mind"}, "condition must be one of"), ({"transformer": {"patch_size": [1, 2]}}, "patch_size"),
    ({"transformer": {"ffn_dim": -5}}, "does not describe a usable model"),
])  # fmt: skip
def test_an_architecture_that_contradicts_itself_or_the_schema_is_refused(saved, change, message) -> None:
    content = json.loads((saved / "architecture.json").read_text())
    for key, value in change.items():
        content[key] = {**content[key], **value} if isinstance(value, dict) else value
    (saved / "architecture.json").write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match=message):
        load(saved)


@pytest.mark.parametrize("content", ["", "[1]", "{", "\ud800".encode("utf-8", "surrogatepass"), b"\xff\xfe"])
def test_an_architecture_that_is_no_json_object_is_refused(saved, content) -> None:
    (saved / "architecture.json").write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(CheckpointError, match=r"architecture\.json"):
        read_architecture(saved)


def test_a_folder_without_a_model_is_refused(tmp_path) -> None:
    with pytest.raises(CheckpointError, match=r"must hold a file architecture\.json"):
        load(tmp_path / "nowhere")


def test_damaged_and_linked_weights_are_refused(saved, tmp_path) -> None:
    weights = saved / "transformer.safetensors"
    weights.rename(tmp_path / "elsewhere")
    weights.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CheckpointError, match="must be a file inside"):
        load(saved)
    weights.unlink()
    weights.write_bytes((tmp_path / "elsewhere").read_bytes()[:-1])
    with pytest.raises(CheckpointError, match="cannot be read as safetensors"):
        load(saved)
