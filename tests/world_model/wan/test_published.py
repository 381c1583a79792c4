"""Loading the published layout: what is merged, what is kept in float32, and what is refused."""

import hashlib
import json
import math
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from accelerate import init_empty_weights
from diffusers import WanTransformer3DModel
from safetensors.torch import load_file, save_file

from k4d_world_model.errors import CheckpointError
from k4d_world_model.wan.architecture import Architecture
from k4d_world_model.wan.checkpoint import empty_transformer
from k4d_world_model.wan.lora import Lora
from k4d_world_model.wan.published import load_published, own_name, published_name
from k4d_world_model.wan.transformer import build_transformer

INDEX = "transformer/diffusion_pytorch_model.safetensors.index.json"
FIRST_SHARD, SECOND_SHARD = (f"transformer/diffusion_pytorch_model-0000{n}-of-00002.safetensors" for n in (1, 2))


@pytest.fixture
def folders(base, parity, tmp_path) -> tuple[Path, Path]:
    """Copies of base and adapter that a test may damage."""
    shutil.copytree(base, tmp_path / "base")
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    for name in ("added_weights.safetensors", "pytorch_lora_weights.safetensors"):
        shutil.copy(parity / name, adapter)
    return tmp_path / "base", adapter


def load(folders, architecture, dtype=torch.float32, **options):
    return load_published(*folders, architecture, device="cpu", dtype=dtype, **options)


def edit(path: Path, change) -> None:
    """Rewrites a safetensors file with what ``change`` makes of its tensors."""
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)


def test_every_weight_is_the_base_or_the_added_one_plus_half_of_the_lora(published, figures, parity) -> None:
    added, lora = (load_file(parity / f"{name}.safetensors") for name in ("added_weights", "pytorch_lora_weights"))
    state = published.transformer.state_dict()
    assert torch.equal(state["patch_embedding.domain"], added["learnable_domain_embeddings"])
    assert torch.equal(state["condition_embedder.text_embedder.position"], added["arm_pos_emb"])
    assert torch.equal(state["robot_projection.weight"], added["arm_cond_proj.weight"])
    assert torch.equal(state["blocks.1.ffn.net.2.weight"], figures["sd.blocks.1.ffn.net.2.weight"])
    for name in ("blocks.0.attn1.to_q", "blocks.1.attn2.to_out.0"):
        up, down = (lora[f"transformer.{name}.lora_{part}.weight"].double() for part in "BA")
        expected = figures[f"sd.{name}.weight"].double() + 0.5 * up @ down
        assert torch.allclose(state[f"{name}.weight"].double(), expected, atol=1e-6)


def test_peft_fuses_the_published_lora_to_the_same_weights(published, official, parity, architecture) -> None:
    transformer = build_transformer(architecture, 16)
    transformer.load_state_dict(official.state_dict())
    transformer.load_lora_adapter(load_file(parity / "pytorch_lora_weights.safetensors"), prefix="transformer")
    transformer.fuse_lora(lora_scale=0.5)
    transformer.unload_lora()
    for name, tensor in transformer.state_dict().items():
        if name.startswith("blocks."):
            assert torch.allclose(tensor, published.transformer.state_dict()[name], atol=1e-6), name


def test_nothing_is_left_without_memory_and_all_is_ready_to_predict(published) -> None:
    for module in (published.transformer, published.codec.vae, published.image_encoder.model):
        assert not module.training
        assert not any(tensor.is_meta for tensor in (*module.parameters(), *module.buffers()))


def test_bfloat16_spares_what_wan_keeps_in_float32(folders, architecture) -> None:
    parts = load(folders, architecture, dtype=torch.bfloat16)
    state = parts.transformer.state_dict()
    exact = {name for name, tensor in state.items() if tensor.dtype == torch.float32}
    assert "condition_embedder.time_embedder.linear_1.weight" in exact
    assert {"scale_shift_table", "blocks.0.scale_shift_table", "blocks.1.norm2.weight"} <= exact
    assert state["blocks.0.attn1.to_q.weight"].dtype == torch.bfloat16
    assert state["condition_embedder.text_embedder.patch.weight"].dtype == torch.bfloat16
    assert parts.transformer.rope.freqs_cos.dtype == torch.float32
    assert parts.transformer.dtype == parts.codec.vae.dtype == torch.bfloat16
    assert parts.image_encoder.model.dtype == torch.float32


def test_the_hash_is_that_of_the_files_of_the_transformer(published, base, parity) -> None:
    files = [*(base / "transformer").glob("*.safetensors"), *parity.glob("*_weights.safetensors")]
    lines = sorted((path.name, hashlib.sha256(path.read_bytes()).hexdigest()) for path in files)
    expected = hashlib.sha256("".join(f"{digest}  {name}\n" for name, digest in lines).encode()).hexdigest()
    assert published.weights_sha256 == expected


@pytest.mark.parametrize("prefix", ["transformer.", "diffusion_model."])
def test_further_loras_are_added_with_their_scale(folders, architecture, published, tmp_path, prefix) -> None:
    """In diffusers' names, or in Wan's own with an alpha and a bias, as few-step LoRAs come."""
    draw = torch.Generator().manual_seed(2)
    up, down, bias = torch.randn(64, 3, generator=draw), torch.randn(3, 32, generator=draw), torch.randn(64)
    if prefix == "transformer.":
        name, alpha = "transformer.blocks.1.ffn.net.0.proj", 3.0
        tensors = {f"{name}.lora_A.weight": down, f"{name}.lora_B.weight": up, f"{name}.lora_B.bias": bias}
    else:
        name, alpha = "diffusion_model.blocks.1.ffn.0", 6.0
        tensors = {f"{name}.lora_down.weight": down, f"{name}.lora_up.weight": up, f"{name}.diff_b": bias}
        tensors[f"{name}.alpha"] = torch.tensor(alpha)
        text = "diffusion_model.text_embedding.0.lora"  # of the text projection that this model does not have
        tensors |= {f"{text}_down.weight": torch.ones(1, 4096), f"{text}_up.weight": torch.ones(32, 1)}
    save_file(tensors, tmp_path / "few_steps.safetensors")
    parts = load(folders, architecture, loras=[Lora(tmp_path / "few_steps.safetensors", 0.7)])
    before, after = published.transformer.blocks[1].ffn.net[0].proj, parts.transformer.blocks[1].ffn.net[0].proj
    assert torch.allclose(after.weight, before.weight + 0.7 * alpha / 3 * up @ down, atol=1e-5)
    assert torch.allclose(after.bias, before.bias + 0.7 * bias, atol=1e-6)
    assert torch.equal(parts.transformer.proj_out.weight, published.transformer.proj_out.weight)
    assert parts.weights_sha256 != published.weights_sha256


def test_all_missing_unexpected_and_misshapen_weights_are_listed(folders, architecture) -> None:
    def damage(tensors: dict[str, torch.Tensor]) -> None:
        del tensors["arm_ln.bias"], tensors["arm_pos_emb"]
        tensors["arm_domain_emb"] = torch.zeros(2, 16)
        tensors["arm_cond_proj.bias"] = torch.zeros(17)

    edit(folders[1] / "added_weights.safetensors", damage)
    with pytest.raises(CheckpointError) as caught:
        load(folders, architecture)
    text = str(caught.value)
    own = "condition_embedder.text_embedder"
    assert f"2 missing: {own}.norm.bias, {own}.position" in text
    assert f"1 unexpected: {own}.domain" in text
    assert "1 of another shape: robot_projection.bias (17,) instead of (16,)" in text


def test_a_lora_for_another_model_is_refused_with_every_weight_that_does_not_fit(folders, architecture) -> None:
    def damage(tensors: dict[str, torch.Tensor]) -> None:
        for part, shape in (("A", (4, 32)), ("B", (32, 4))):
            tensors[f"transformer.blocks.7.attn1.to_q.lora_{part}.weight"] = torch.zeros(shape)
        tensors["transformer.blocks.0.attn1.to_k.lora_B.weight"] = torch.zeros(30, 4)

    edit(folders[1] / "pytorch_lora_weights.safetensors", damage)
    with pytest.raises(CheckpointError, match=r"does not have so: blocks.0.attn1.to_k.weight, blocks.7.attn1.to_q.wei"):
        load(folders, architecture)


def test_half_a_lora_is_refused(folders, architecture) -> None:
    name = "transformer.blocks.0.attn2.to_v.lora_A.weight"
    edit(folders[1] / "pytorch_lora_weights.safetensors", lambda tensors: tensors.pop(name))
    with pytest.raises(CheckpointError, match=r"pairs of lora_A and lora_B, got .*blocks\.0\.attn2\.to_v\.lora_B"):
        load(folders, architecture)


@pytest.mark.parametrize("content", [{"x": torch.zeros(3)}, {"diffusion_model.x": torch.zeros(3)}])
def test_a_foreign_lora_is_refused(folders, architecture, tmp_path, content) -> None:
    save_file(content, tmp_path / "foreign.safetensors")
    with pytest.raises(CheckpointError, match=r"foreign\.safetensors"):
        load(folders, architecture, loras=[Lora(tmp_path / "foreign.safetensors", 1.0)])


def test_a_truncated_shard_is_refused(folders, architecture) -> None:
    shard = folders[0] / FIRST_SHARD
    shard.write_bytes(shard.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match=r"00001-of-00002\.safetensors cannot be read as safetensors"):
        load(folders, architecture)


@pytest.mark.parametrize("content", [b"", b"\x80\x04K\x01.", b"\xff" * 64])
def test_a_file_of_another_format_is_refused(folders, architecture, content) -> None:
    (folders[1] / "added_weights.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match="cannot be read as safetensors"):
        load(folders, architecture)


@pytest.mark.parametrize("second", [f"base/{SECOND_SHARD}", "adapter/added_weights.safetensors"])
def test_a_weight_stored_twice_is_refused(folders, architecture, second) -> None:
    name, tensor = sorted(load_file(folders[0] / FIRST_SHARD).items())[0]
    edit(folders[0].parent / second, lambda tensors: tensors.update({name: tensor}))
    with pytest.raises(CheckpointError, match=f"{re.escape(name)} is stored twice"):
        load(folders, architecture)


def test_whole_numbers_are_no_weights(folders, architecture) -> None:
    edit(
        folders[1] / "added_weights.safetensors",
        lambda tensors: tensors.update({"arm_ln.bias": torch.zeros(16, dtype=torch.int64)}),
    )
    with pytest.raises(CheckpointError, match=r"arm_ln\.bias must be one of .*, got I64"):
        load(folders, architecture)


@pytest.mark.parametrize("name", ["added_weights.safetensors", "pytorch_lora_weights.safetensors"])
def test_a_missing_file_is_named(folders, architecture, name) -> None:
    (folders[1] / name).unlink()
    with pytest.raises(CheckpointError, match=f"must hold a file {name}"):
        load(folders, architecture)


def test_shards_outside_the_folder_are_refused(folders, architecture, base) -> None:
    shutil.copy(folders[0] / FIRST_SHARD, folders[0] / "shard.safetensors")
    index = json.loads((folders[0] / INDEX).read_text())
    index["weight_map"] = dict.fromkeys(index["weight_map"], "../shard.safetensors")
    (folders[0] / INDEX).write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match="must be a file inside"):
        load(folders, architecture)


def test_links_out_of_the_folder_are_refused(folders, architecture, tmp_path) -> None:
    shard = folders[0] / FIRST_SHARD
    shard.rename(tmp_path / "blob")
    shard.symlink_to(tmp_path / "blob")
    with pytest.raises(CheckpointError, match="copy weights as files, not as links"):
        load(folders, architecture)


@pytest.mark.parametrize(("file", "content"), [
    (INDEX, "[]"), (INDEX, "{}"), (INDEX, '{"weight_map": {"a": 3}}'), (INDEX, "{"),
    ("vae/config.json", '{"base_dim": "wide"}'), ("vae/config.json", '{"base_dim": 8, "z_dim": 16}'),
    ("image_encoder/config.json", '{"hidden_size": -3}'), ("image_encoder/config.json", "null"),
])  # fmt: skip
def test_damaged_descriptions_are_refused(folders, architecture, file, content) -> None:
    (folders[0] / file).write_text(content)
    with pytest.raises(CheckpointError):
        load(folders, architecture)


def test_a_base_of_other_numbers_is_refused_even_where_shapes_agree(folders, architecture) -> None:
    other = replace(architecture.transformer, num_attention_heads=4, attention_head_dim=8, eps=1e-5)
    with pytest.raises(CheckpointError, match="num_attention_heads is 2 and not 4, attention_head_dim is 16 and not 8"):
        load(folders, replace(architecture, transformer=other))
    with pytest.raises(CheckpointError, match="must be a codec of"):
        load(folders, replace(architecture, frames=57, codec=replace(architecture.codec, temporal=8)))


def test_the_text_encoder_is_never_touched(folders, architecture, published) -> None:
    (folders[0] / "text_encoder").mkdir()
    (folders[0] / "text_encoder" / "model.safetensors").write_bytes(b"never read")
    assert load(folders, architecture).weights_sha256 == published.weights_sha256


def test_at_full_size_names_and_shapes_are_wans_and_the_added_ones() -> None:
    """The published model of robot pictures and pointmaps: 1,287,568 numbers added to Wan2.1-I2V-14B-480P."""
    width, inner = 5120, 128
    added = {
        "learnable_domain_embeddings": (2, width),
        "patch_embedding_arm.weight": (inner, 20, 1, 15, 15),
        "patch_embedding_arm.bias": (inner,),
        "arm_ln.weight": (inner,),
        "arm_ln.bias": (inner,),
        "arm_pos_emb": (1, inner, 13, 4, 6),
        "arm_domain_emb": (2, inner),
        "arm_patch_proj.weight": (width, inner),
        "arm_patch_proj.bias": (width,),
        "arm_cond_proj.weight": (16, 16),
        "arm_cond_proj.bias": (16,),
    }
    assert sum(math.prod(shape) for shape in added.values()) == 1_287_568
    with init_empty_weights():
        wan = WanTransformer3DModel(in_channels=36, image_dim=1280, added_kv_proj_dim=width)
    expected = {name: tuple(t.shape) for name, t in wan.state_dict().items() if ".text_embedder." not in name}
    expected |= {own_name(name): shape for name, shape in added.items()}
    transformer = empty_transformer(Architecture(49, 480, 720), Path("config.json"))
    assert {name: tuple(tensor.shape) for name, tensor in transformer.state_dict().items()} == expected
    assert {published_name(own_name(name)) for name in added} == added.keys()
    assert {own_name(name) for name in expected if published_name(name) is None} == set(wan.state_dict()) & set(
        expected
    )
