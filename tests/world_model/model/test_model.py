"""The whole of a prediction with untrained weights: what comes out, what is refused, and what stays in memory."""

import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.utils._pytree import tree_leaves

from k4d_kinematics import ToolPath
from k4d_world_model import prediction
from k4d_world_model.dataset.normalization import Normalization
from k4d_world_model.errors import (
    ArchitectureError,
    CanceledError,
    CheckpointError,
    ConditioningError,
    OutOfMemoryError,
    PredictionError,
    RobotNotVisibleError,
    SamplingError,
    WorldModelError,
)
from k4d_world_model.wan import model as model_module
from k4d_world_model.wan import preflight
from k4d_world_model.wan.checkpoint import save_checkpoint
from k4d_world_model.wan.codec import PixelCodec
from k4d_world_model.wan.model import WanWorldModel, decode_pair
from k4d_world_model.world_model import open_world_model
from k4d_world_model.world_model_config import RuntimeConfig, SamplingConfig, WorldModelConfig

CPU = RuntimeConfig(device="cpu", dtype="float32")
EULER = SamplingConfig(steps=2, scheduler="euler", flow_shift=1.0)
MOTION = WorldModelConfig("moves", checkpoint="checkpoint", sampling=EULER, runtime=CPU)


@pytest.fixture
def moves(motion_folder) -> WanWorldModel:
    return WanWorldModel.open(MOTION, motion_folder)


@pytest.fixture
def conditioning(make_conditioning):
    return make_conditioning(9, 16, 24)


def test_a_rollout_has_everything(moves, conditioning):
    rollout = moves.predict(conditioning, seed=11)
    assert moves.frame_shape == rollout.valid.shape == (9, 16, 24)
    np.testing.assert_allclose(rollout.rgb[0].astype(int), conditioning.first_frame, atol=1)
    assert rollout.times is conditioning.times
    assert rollout.camera == conditioning.camera
    provenance = rollout.provenance
    assert (provenance.model_name, provenance.seed, provenance.steps, provenance.guidance) == ("moves", 11, 2, "none")
    assert (provenance.device, provenance.robot_sha256) == ("cpu", "5e")
    assert provenance.weights_sha256 == moves.weights_sha256
    assert len(provenance.weights_sha256) == 64
    assert dict(provenance.versions)["torch"] == torch.__version__
    assert provenance.computation_time > 0
    assert provenance.peak_memory_bytes > 1e6


def test_other_numbers_of_frames_share_the_weights(moves, conditioning, make_conditioning):
    longer = moves.with_frames(17)
    assert longer.predict(make_conditioning(17, 16, 24), seed=11).valid.shape == longer.frame_shape == (17, 16, 24)
    assert longer.weights_sha256 == moves.weights_sha256
    same = moves.with_frames(9).predict(conditioning, seed=11)
    np.testing.assert_array_equal(same.rgb, moves.predict(conditioning, seed=11).rgb)
    with pytest.raises(ArchitectureError, match="got 6"):
        moves.with_frames(6)
    moves.close()
    assert longer.predict(make_conditioning(17, 16, 24), seed=11)
    with pytest.raises(WorldModelError, match="was closed"):
        moves.with_frames(9)


def test_the_same_seed_gives_the_same_rollout_another_one_another(published_folder, make_conditioning):
    model = WanWorldModel.open(replace(MOTION, sampling=SamplingConfig(steps=2)), published_folder)
    conditioning = make_conditioning(5, 48, 80)
    first, again, other = (model.predict(conditioning, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.rgb, again.rgb)
    np.testing.assert_array_equal(first.points, again.points)
    assert (first.rgb != other.rgb).any()
    assert np.isnan(first.points[~first.valid]).all()


def test_steps_are_told_and_may_be_replaced(moves, conditioning):
    told = []
    rollout = moves.predict(conditioning, seed=1, on_step=lambda *step: told.append(step), steps=3)
    assert told == [(0, 3), (1, 3), (2, 3), (3, 3)]
    assert rollout.provenance.steps == 3
    with pytest.raises(SamplingError, match=r"1\.\.1000, got 0"):
        moves.predict(conditioning, seed=1, steps=0)


def test_a_model_of_one_step_reads_no_noise_and_tells_light_and_contact(
    motion_architecture, make_transformer, make_conditioning, tmp_path
):
    told = {"light_grid": 3, "continues_surfaces": True, "moves_objects": True}
    architecture = replace(motion_architecture, reads_noise=False, injection_rank=5, **told)
    save_checkpoint(tmp_path / "checkpoint", make_transformer(architecture), architecture)
    model = WanWorldModel.open(replace(MOTION, sampling=replace(EULER, steps=1)), tmp_path)
    tool = ToolPath(np.tile(np.eye(4), (9, 1, 1)), np.zeros(9))
    start = replace(make_conditioning(9, 16, 24), tool=tool)
    up = np.tile(np.diag([1.0, -1.0, -1.0, 1.0]), (9, 1, 1))  # towards the camera: the wall lies in shadow
    lit = model.predict(replace(start, T_cam_base=up), seed=1)
    np.testing.assert_array_equal(lit.rgb, model.predict(replace(start, T_cam_base=up), seed=2).rgb)
    assert (lit.rgb != model.predict(start, seed=1).rgb).any()
    with pytest.raises(SamplingError, match="predicts in 1 step, got 3"):
        model.predict(start, seed=1, steps=3)
    with pytest.raises(ConditioningError, match="tool_link"):
        model.predict(replace(start, tool=None), seed=1)


def test_what_is_missing_is_named(moves, conditioning, make_conditioning):
    with pytest.raises(ConditioningError, match=r"\(9, 16, 24\), got a conditioning of \(8, 16, 24\)"):
        moves.predict(make_conditioning(8, 16, 24), seed=1)
    with pytest.raises(ConditioningError, match="colours"):
        moves.predict(replace(conditioning, robot_rgb=None), seed=1)
    with pytest.raises(ConditioningError, match="depth"):
        moves.predict(replace(conditioning, first_points=None), seed=1)


def test_a_robot_that_is_hardly_visible_is_refused(moves, conditioning):
    mask = np.zeros_like(conditioning.robot_mask)
    mask[4, 8, 10] = True
    points = np.where(mask[..., None], np.ones(3, np.float32), np.float32(np.nan))
    with pytest.raises(RobotNotVisibleError, match="the robot covers 1 of 3456 pixels in 9 frames, 2 are needed"):
        moves.predict(replace(conditioning, robot_mask=mask, robot_points=points), seed=1)
    nowhere = replace(conditioning, robot_mask=np.zeros_like(mask), robot_points=np.full_like(points, np.nan))
    with pytest.raises(RobotNotVisibleError):
        moves.predict(nowhere, seed=1)


@pytest.mark.parametrize("step", [0, 1, 2])
def test_a_cancelled_prediction_keeps_nothing(moves, conditioning, monkeypatch, step):
    """Not even while its error is held, whose frames had the tensors."""

    made = []

    def remembering(function):
        def call(*given, **named):
            result = function(*given, **named)
            made.extend(weakref.ref(item) for item in tree_leaves(result) if isinstance(item, torch.Tensor))
            return result

        return call

    def cancel(done: int, total: int) -> None:
        if done == step:
            raise CanceledError("enough")

    for name in ("prepare", "encode"):
        monkeypatch.setattr(model_module, name, remembering(getattr(model_module, name)))
    with pytest.raises(CanceledError) as caught:
        moves.predict(conditioning, seed=1, on_step=cancel)
    assert len(made) > 10
    assert all(tensor() is None for tensor in made), caught
    assert moves.predict(conditioning, seed=1).valid.any()


@pytest.mark.parametrize(
    "failure",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
        MemoryError(),
    ],
)
def test_out_of_memory_names_the_switches(moves, conditioning, monkeypatch, failure):
    held = []

    def fail(*_, **__):
        large = torch.zeros(1000)
        held.append(weakref.ref(large))
        raise failure

    monkeypatch.setattr(model_module, "sample", fail)
    with pytest.raises(OutOfMemoryError, match=r"cpu ran out of memory.*fp8_storage.*vae_tiling") as caught:
        moves.predict(conditioning, seed=1)
    assert held[0]() is None, caught


def test_weights_that_do_not_fit_are_let_go(motion_folder, monkeypatch):
    held = []

    def fail(*_, **__):
        half_loaded = torch.zeros(1000)
        held.append(weakref.ref(half_loaded))
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(model_module, "load_checkpoint", fail)
    with pytest.raises(OutOfMemoryError, match="cpu ran out of memory") as caught:
        WanWorldModel.open(MOTION, motion_folder)
    assert held[0]() is None, caught


def test_other_errors_pass_as_they_are(moves, conditioning, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(model_module, "sample", fail)
    with pytest.raises(RuntimeError, match="shapes do not match"):
        moves.predict(conditioning, seed=1)


def test_output_that_is_not_finite_is_refused(moves, conditioning, monkeypatch):
    monkeypatch.setattr(
        model_module, "decode_pair", lambda latents, *_: (torch.full((1, 3, 9, 16, 24), torch.nan),) * 2
    )
    with pytest.raises(PredictionError, match="10368 of 10368 values"):
        moves.predict(conditioning, seed=1)


def test_points_behind_the_camera_are_not_valid(conditioning):
    points = torch.zeros(3, 9, 16, 24)
    points[2] = torch.linspace(-1, 1, 24)
    one = Normalization(np.ones(3, np.float32), np.zeros(3, np.float32))
    hidden = replace(conditioning, robot_mask=np.zeros_like(conditioning.robot_mask),
                     robot_points=np.full_like(conditioning.robot_points, np.nan))  # fmt: skip
    rollout = prediction.rollout_of(torch.zeros(3, 9, 16, 24), points, one, hidden, None)
    np.testing.assert_array_equal(rollout.valid, np.broadcast_to(np.arange(24) >= 12, (9, 16, 24)))
    assert "hardly visible" in rollout.fit.reason
    with pytest.raises(PredictionError, match="no finite point in front of the camera in 9 frames"):
        prediction.rollout_of(torch.zeros(3, 9, 16, 24), -points.abs(), one, hidden, None)


def test_metres_come_back_from_any_affine_change_of_the_points(conditioning):
    """A model whose points are off by a scale and an offset is put right by the robot, without its points pasted in."""
    true = np.where(conditioning.robot_mask[..., None], conditioning.robot_points, conditioning.first_points)
    scale, offset = np.array([0.7, 1.3, 0.8]), np.array([0.1, -0.2, 0.4])
    normalised = torch.from_numpy((true - offset) / scale).movedim(-1, 0)
    given = Normalization(np.full(3, 0.9, np.float32), np.array([0.3, 0.0, -0.1], np.float32))
    rollout = prediction.rollout_of(torch.zeros(3, 9, 16, 24), normalised, given, conditioning, None)
    np.testing.assert_allclose(rollout.points, true, atol=1e-3)
    wrong = normalised.clone()
    wrong[:, 3] += 0.2
    moved = prediction.rollout_of(torch.zeros(3, 9, 16, 24), wrong, given, conditioning, None)
    np.testing.assert_allclose(moved.points[3], true[3] + 0.2 * scale, atol=1e-3)


def test_a_closed_model_says_so(moves, conditioning):
    moves.close()
    with pytest.raises(WorldModelError, match="moves was closed"):
        moves.predict(conditioning, seed=1)


def test_the_pair_is_decoded_side_by_side(motion_architecture):
    architecture = replace(motion_architecture, pointmap_latent_mean=-0.17, pointmap_latent_std=1.36)
    codec = PixelCodec(architecture.codec)
    rgb, points = torch.rand(2, 2, 3, 9, 16, 24)
    latents = torch.cat([codec.encode(rgb), (codec.encode(points) + 0.17) / 1.36], dim=-1)
    decoded = decode_pair(latents, architecture, codec)
    torch.testing.assert_close(decoded[0], rgb)
    torch.testing.assert_close(decoded[1], points)


def test_too_little_memory_is_refused_before_weights_are_read(motion_folder, monkeypatch):
    monkeypatch.setattr(preflight, "free_bytes", lambda device: 1000)
    (motion_folder / "checkpoint" / "transformer.safetensors").unlink()
    with pytest.raises(OutOfMemoryError, match=r"cpu has 0\.00 GiB free"):
        WanWorldModel.open(MOTION, motion_folder)


def test_guidance_that_the_model_cannot_do_is_refused_at_once(motion_folder):
    with pytest.raises(SamplingError, match="official"):
        WanWorldModel.open(replace(MOTION, sampling=SamplingConfig(guidance="official")), motion_folder)


def test_the_yaml_file_opens_it_on_another_device(motion_folder):
    (motion_folder / "model.yaml").write_text("name: yaml\ncheckpoint: checkpoint\nruntime: {dtype: float32}\n")
    model = open_world_model(motion_folder / "model.yaml", device="cpu")
    assert model.config.runtime.device == "cpu"
    assert model.config.name == "yaml"


def test_missing_loras_are_named(motion_folder):
    runtime = replace(CPU, loras=("few_steps.safetensors",), lora_scales=(1.0,))
    with pytest.raises(CheckpointError, match=r"few_steps\.safetensors"):
        WanWorldModel.open(replace(MOTION, runtime=runtime), motion_folder)


@pytest.mark.parametrize(
    "switches",
    [{"quantization": "fp8_storage"}, {"cache": "first_block"}, {"dtype": "bfloat16"}, {"vae_tiling": True}],
)
def test_switches_keep_the_prediction_close(published_folder, make_conditioning, switches):
    conditioning = make_conditioning(5, 48, 80)
    sampling = SamplingConfig(steps=3)
    plain = WanWorldModel.open(replace(MOTION, sampling=sampling), published_folder).predict(conditioning, seed=1)
    config = replace(MOTION, sampling=sampling, runtime=replace(CPU, **switches))
    switched = WanWorldModel.open(config, published_folder).predict(conditioning, seed=1)
    difference = np.abs(plain.rgb.astype(float) - switched.rgb)
    assert difference.mean() < 12
    if "vae_tiling" not in switches:
        assert difference.max() > 0
