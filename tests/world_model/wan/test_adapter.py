"""Training a LoRA on a published base: what is trainable, where it starts, and that it is saved as it was trained."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from k4d_world_model.errors import CheckpointError
from k4d_world_model.wan.adapter import add_trainable_lora, save_adapter
from k4d_world_model.wan.published import load_base, load_published, own_name

TARGETS = ("to_q", "to_k", "to_v", "to_out.0")


def started(base, architecture, adapter=None, *, alpha=2.0, seed=5, dtype=torch.float32, targets=TARGETS):
    transformer = load_base(base, adapter, architecture, device="cpu", dtype=dtype, seed=seed).transformer
    add_trainable_lora(transformer, rank=4, alpha=alpha, targets=targets, seed=seed, start=adapter)
    return transformer


@torch.no_grad()
def output(transformer, figures) -> torch.Tensor:
    names = ("hidden_states", "timestep", "arm_cond", "image_embeds")
    return transformer(*(figures[f"in.{name}"] for name in names), return_dict=False)[0]


def test_the_lora_and_the_added_weights_alone_are_trained_in_float32(base, architecture, parity) -> None:
    transformer = started(base, architecture, dtype=torch.bfloat16)
    trained = {name: parameter for name, parameter in transformer.named_parameters() if parameter.requires_grad}
    added = {own_name(name) for name in load_file(parity / "added_weights.safetensors")}
    assert {name for name in trained if ".lora_" not in name} == added
    assert sum(".lora_" in name for name in trained) == 2 * 2 * 8
    assert {parameter.dtype for parameter in trained.values()} == {torch.float32}


def test_a_new_adapter_changes_nothing_and_its_seed_decides_what_it_is(base, architecture, figures) -> None:
    transformer, again, other = (started(base, architecture, seed=seed) for seed in (5, 5, 6))
    state = transformer.state_dict()
    assert all(torch.equal(tensor, again.state_dict()[name]) for name, tensor in state.items())
    for name in ("condition_embedder.text_embedder.position", "blocks.1.attn2.to_v.lora_A.default.weight"):
        assert not torch.equal(state[name], other.state_dict()[name])
    plain = load_base(base, None, architecture, device="cpu", dtype=torch.float32, seed=5).transformer
    assert torch.equal(output(transformer, figures), output(plain, figures))


@pytest.mark.parametrize("alpha", [2.0, 4.0])
def test_a_published_adapter_goes_on_being_trained_from_where_it_was(
    base, architecture, parity, published, figures, alpha
) -> None:
    transformer = started(base, architecture, parity, alpha=alpha)
    assert torch.allclose(output(transformer, figures), output(published.transformer, figures), atol=1e-5)


@pytest.mark.parametrize("alpha", [2.0, 6.0])
def test_a_saved_adapter_is_loaded_as_the_published_one_and_predicts_what_was_trained(
    base, architecture, figures, parity, tmp_path, alpha
) -> None:
    transformer = started(base, architecture, alpha=alpha)
    draw = torch.Generator().manual_seed(9)
    with torch.no_grad():
        for parameter in transformer.parameters():
            if parameter.requires_grad:
                parameter.add_(0.05 * torch.randn(parameter.shape, generator=draw))
    save_adapter(tmp_path / "adapter", transformer)
    for name in ("added_weights.safetensors", "pytorch_lora_weights.safetensors"):
        assert load_file(tmp_path / "adapter" / name).keys() == load_file(parity / name).keys()
    loaded = load_published(base, tmp_path / "adapter", architecture, device="cpu", dtype=torch.float32).transformer
    assert torch.allclose(output(loaded, figures), output(transformer, figures), atol=1e-4)


def test_an_adapter_of_other_layers_or_another_rank_is_no_start(base, architecture, parity, tmp_path) -> None:
    with pytest.raises(CheckpointError, match=r"changes more than the layers .*: blocks\.0\.attn1\.to_k\.weight"):
        started(base, architecture, parity, targets=("to_q", "to_v", "to_out.0"))
    lora = load_file(parity / "pytorch_lora_weights.safetensors")
    lora["transformer.blocks.0.attn1.to_q.lora_A.weight"] = torch.zeros(3, 32)
    lora["transformer.blocks.0.attn1.to_q.lora_B.weight"] = torch.zeros(32, 3)
    save_file(lora, tmp_path / "pytorch_lora_weights.safetensors")
    save_file(load_file(parity / "added_weights.safetensors"), tmp_path / "added_weights.safetensors")
    with pytest.raises(CheckpointError, match=r"to_q must be \[\(32, 4\), \(4, 32\)\], got \[\(32, 3\), \(3, 32\)\]"):
        started(base, architecture, tmp_path)


def test_a_transformer_without_a_lora_has_no_adapter(published, tmp_path) -> None:
    with pytest.raises(CheckpointError, match="only a transformer with a LoRA"):
        save_adapter(tmp_path / "adapter", published.transformer)
    assert not (tmp_path / "adapter").exists()
