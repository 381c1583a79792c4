"""The diffusion policy: what it is told, what its network finds, that it learns, and that it acts on what it sees."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from k4d_kinematics import Camera, ConfiguredRobot, configured_robot, se3
from k4d_world_model.errors import ArchitectureError, CheckpointError, PolicyError, TrainingError
from k4d_world_model.policy_evaluation.diffusion.architecture import PolicyArchitecture
from k4d_world_model.policy_evaluation.diffusion.checkpoint import load_policy, save_policy
from k4d_world_model.policy_evaluation.diffusion.demonstration_files import Demonstrations, _recipe, make_demonstrations
from k4d_world_model.policy_evaluation.diffusion.demonstrations import DemonstrationConfig
from k4d_world_model.policy_evaluation.diffusion.instruction import Instruction, read_instruction
from k4d_world_model.policy_evaluation.diffusion.network import PolicyNetwork, SeenBatch
from k4d_world_model.policy_evaluation.diffusion.tool_goals import TOOL_NUMBERS, tool_goal, tool_numbers
from k4d_world_model.policy_evaluation.diffusion.training import PolicyTrainingConfig, StepReport, train_policy
from k4d_world_model.policy_evaluation.diffusion_policy import DiffusionPolicy, DiffusionPolicyConfig
from k4d_world_model.policy_evaluation.opening import policy_identity
from k4d_world_model.policy_evaluation.policy import Briefing, Observation

ROOT = Path(__file__).resolve().parents[3]
SENTENCE = "The panda robot picks up the red box and puts it on the blue disc."
SMALL = PolicyArchitecture(
    height=16, width=26, rows=(2, 14), columns=(4, 24), horizon=5, keypoints=3, pixel_channels=6, grid_channels=10,
    grid_layers=1, width_of_denoiser=24, blocks=1, diffusion_steps=7,
)  # fmt: skip


@pytest.fixture(scope="module")
def panda(tmp_path_factory: pytest.TempPathFactory) -> ConfiguredRobot:
    return configured_robot(ROOT / "config/robots/panda.yaml", tmp_path_factory.mktemp("surfaces"))


@pytest.fixture(scope="module")
def network() -> PolicyNetwork:
    torch.manual_seed(1)
    return PolicyNetwork(SMALL).eval().requires_grad_(False)


def test_sentences_are_read_by_their_words() -> None:
    red, blue = SMALL.colours["red"], SMALL.colours["blue"]
    assert read_instruction(SENTENCE, SMALL) == Instruction(0, red, blue)
    assert read_instruction("It picks the Blue thing.", SMALL) == Instruction(0, blue, blue)
    for sentence in ("It throws the red box on the blue disc.", "It picks up the box.", "It picks red green blue."):
        with pytest.raises(PolicyError, match="the policy reads sentences with one of picks"):
            read_instruction(sentence, SMALL)


def test_a_pose_and_its_numbers_stand_for_each_other() -> None:
    angle, position = 0.7, np.array([0.61, -0.2, 0.08])
    turned = np.array([[np.cos(angle), np.sin(angle), 0], [np.sin(angle), -np.cos(angle), 0], [0, 0, -1.0]])
    T_base_tool = se3.from_rotation_translation(turned, position)
    numbers = tool_numbers(SMALL, T_base_tool, 0.02)
    np.testing.assert_allclose(numbers, [1.1, -2.0, -0.7, np.cos(0.7), np.sin(0.7), 0.5], atol=1e-6)
    T, opening = tool_goal(SMALL, numbers * [1, 1, 1, 3, 3, 1])
    np.testing.assert_allclose(T, T_base_tool, atol=1e-6)
    assert opening == pytest.approx(0.02)
    assert tool_goal(SMALL, np.array([0, 0, 0, 1, 0, 1.4], np.float32))[1] == 0.0


def batch(points: torch.Tensor) -> SeenBatch:
    count = len(points)
    return SeenBatch(
        torch.rand(count, 3, 12, 20), points, torch.rand(count, 2, 3), torch.zeros(count, dtype=torch.int64),
        torch.rand(count, TOOL_NUMBERS),
    )  # fmt: skip


def test_keypoints_are_means_of_points_in_the_workspace(network: PolicyNetwork) -> None:
    torch.manual_seed(2)
    point = torch.tensor([0.55, 0.1, 0.2])
    points = torch.full((2, 3, 12, 20), torch.nan)
    points[:, :, 3:7, 8:15] = point[:, None, None]
    points[:, :, 9:, :] = torch.tensor([0.5, 0.0, 3.0])[:, None, None]  # far above the workspace
    seen, keypoints = network.encode(batch(points))
    assert seen.shape == (2, 24)
    torch.testing.assert_close(keypoints, network.normalised(point).expand(2, 3, 3), atol=1e-4, rtol=0)
    seen, keypoints = network.encode(batch(torch.full((2, 3, 12, 20), torch.nan)))
    assert seen.isfinite().all()
    assert not keypoints.any()


def test_a_checkpoint_keeps_the_network_and_refuses_another(tmp_path: Path, network: PolicyNetwork) -> None:
    save_policy(tmp_path, network, {"steps": "3"})
    again = load_policy(tmp_path)
    assert again.architecture == SMALL
    for name, tensor in network.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], tensor, atol=1e-3, rtol=1e-3)
    with safe_open(tmp_path / "policy.safetensors", "pt") as file:
        assert file.metadata() == {"steps": "3"}
    text = (tmp_path / "architecture.json").read_text()
    for change, message in (('"blocks": 2', "do not fit PolicyNetwork"), ('"blocs": 1', "did you mean 'blocks'")):
        (tmp_path / "architecture.json").write_text(text.replace('"blocks": 1', change))
        with pytest.raises(CheckpointError, match=message):
            load_policy(tmp_path)


def test_a_policy_is_known_by_its_file_and_its_weights(tmp_path: Path, network: PolicyNetwork) -> None:
    described = tmp_path / "policy.yaml"
    described.write_text("{name: learnt, checkpoint: weights}\n")
    save_policy(tmp_path / "weights", network, {"steps": "3"})
    known = [policy_identity(f"diffusion:{described}"), policy_identity(f"diffusion:{described}")]
    save_policy(tmp_path / "weights", network, {"steps": "4"})
    known.append(policy_identity(f"diffusion:{described}"))
    described.write_text("{name: learnt, checkpoint: weights, executed: 2}\n")
    known.append(policy_identity(f"diffusion:{described}"))
    assert known[0] == known[1]
    assert len(set(known)) == 3
    assert policy_identity("scripted:0.03") == "scripted:0.03"


def made_up(episodes: int, frames: int) -> Demonstrations:
    """Demonstrations whose goals are all where the object is, which is the only red thing before a grey ground."""
    generator = np.random.default_rng(0)
    count, size = episodes * frames, (SMALL.height, SMALL.width)
    rays = np.stack([*np.meshgrid(np.linspace(-0.39, 0.39, 26), np.linspace(-0.27, 0.27, 16)), np.ones(size)], axis=-1)
    T_base_cam = se3.from_rotation_translation(np.diag([1.0, -1.0, -1.0]), [0.5, 0.0, 1.0])
    rgb, depth = np.full((count, *size, 3), 120, np.uint8), np.ones((count, *size), np.float16)
    marks = np.zeros((count, 2, 3), np.float32)
    for k in range(count):
        for mark, colour in enumerate(("blue", "red")):
            v, u = generator.integers(3, 13), generator.integers(5, 23)
            rgb[k, v - 1 : v + 2, u - 1 : u + 2] = np.round(255 * np.array(SMALL.colours[colour]))
            marks[k, 1 - mark] = se3.transform_points(T_base_cam, rays[v, u])
    goals = np.zeros((count, SMALL.horizon, TOOL_NUMBERS), np.float32)
    goals[..., :3] = ((marks[:, :1] - np.array(SMALL.centre)) / SMALL.scale).astype(np.float32)
    return Demonstrations(
        episodes, (SENTENCE,) * episodes, np.repeat(np.arange(episodes), frames), rgb, depth,
        np.tile(rays.astype(np.float32), (episodes, 1, 1, 1)), np.tile(T_base_cam, (episodes, 1, 1)),
        np.zeros((count, TOOL_NUMBERS), np.float32), goals, marks,
    )  # fmt: skip


def test_it_learns_to_go_where_the_object_is_and_twice_the_same() -> None:
    config = PolicyTrainingConfig(
        "panda.yaml", DemonstrationConfig(("easy.yaml",), ("pick_place",), 0, 1), SMALL, steps=250, batch=16, draws=4,
        learning_rate=1e-2, average=0.9, held_out=0.1,
    )  # fmt: skip
    reports: list[StepReport] = []
    data = made_up(episodes=100, frames=5)
    _, error = train_policy(config, data, reports.append)
    assert len(reports) == 250
    assert error.frames == 50
    # What it looks at is 0.6 x 0.36 m wide, and a thing 9 cm.
    assert error.object < 0.03
    assert error.goal < 0.04
    short = replace(config, steps=3)
    first, second = (train_policy(short, data, lambda _: None)[0].state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_one_success_is_too_little_to_learn_from() -> None:
    demonstrations = DemonstrationConfig(("easy.yaml",), ("pick_place",), 0, 1)
    with pytest.raises(TrainingError, match="at least 2 successful demonstrations are needed, got 1"):
        train_policy(PolicyTrainingConfig("", demonstrations, SMALL, steps=1), made_up(1, 3), lambda _: None)


def seen_by(robot: ConfiguredRobot, architecture: PolicyArchitecture, task: str = SENTENCE) -> Observation:
    height, width = architecture.height, architecture.width
    generator = np.random.default_rng(4)
    T_cam_base = se3.inverse(se3.from_rotation_translation(np.diag([1.0, -1.0, -1.0]), [0.5, 0.0, 1.2]))
    points = generator.uniform((-0.3, -0.3, 1.0), (0.3, 0.3, 1.2), (height, width, 3)).astype(np.float32)
    points[:2] = np.nan
    assert robot.home is not None
    return Observation(
        generator.integers(0, 256, (height, width, 3), np.uint8), points,
        Camera.pinhole(height, width, 90.0, 90.0, 12.5, 7.5), T_cam_base, robot.robot.joint_names, robot.home, 0.08,
        0.0, task,
    )  # fmt: skip


def test_it_leads_joints_to_the_goals_it_samples(panda: ConfiguredRobot, network: PolicyNetwork) -> None:
    policy = DiffusionPolicy(network, panda, DiffusionPolicyConfig("small", "unused", executed=4, sampling_steps=6))
    observation = seen_by(panda, SMALL)
    chunks = []
    for seed in (3, 3, 4):
        policy.reset(Briefing(seed, observation.task))
        chunks.append(policy.act(observation))
    assert chunks[0].joint_names == panda.robot.joint_names
    assert chunks[0].targets.shape == (4, len(panda.robot.joint_names))
    assert chunks[0].period == pytest.approx(0.1)
    np.testing.assert_array_equal(chunks[0].targets, chunks[1].targets)
    assert not np.array_equal(chunks[0].targets, chunks[2].targets)
    tool = panda.robot.link_index(panda.tool_link)
    T_base_tool = panda.robot.forward_kinematics(chunks[0].targets)[:, tool]
    np.testing.assert_allclose(T_base_tool[:, :3, 2], np.tile([0.0, 0.0, -1.0], (4, 1)), atol=5e-3)


def test_it_names_what_it_cannot_act_on(panda: ConfiguredRobot, network: PolicyNetwork) -> None:
    policy = DiffusionPolicy(network, panda, DiffusionPolicyConfig("small", "unused", executed=5, sampling_steps=2))
    with pytest.raises(PolicyError, match="reads pictures of 16 x 26 pixels, got 18 x 26"):
        policy.act(seen_by(panda, replace(SMALL, height=18)))
    with pytest.raises(PolicyError, match="reads sentences"):
        policy.act(seen_by(panda, SMALL, "Tidy up."))
    for change, message in (({"executed": 6}, "executed must be within 1..5"), ({"executed": 0}, "at least 1"),
                            ({"sampling_steps": 8}, "within 1..7"), ({"name": "a b"}, "a policy's name")):  # fmt: skip
        with pytest.raises(PolicyError, match=message):
            DiffusionPolicy(
                network,
                panda,
                DiffusionPolicyConfig(**{"name": "x", "checkpoint": "y", "executed": 1, "sampling_steps": 1} | change),
            )


def test_demonstrations_show_where_things_are_and_where_the_tool_goes(tmp_path: Path, panda: ConfiguredRobot) -> None:
    architecture = replace(SMALL, height=24, width=36, horizon=30)
    config = DemonstrationConfig(("config/scenes/easy.yaml",), ("pick_place",), seed=2_000_000, count=2, frames=3)
    shown: list[tuple[int, int]] = []

    def watch(made, done, count):  # type: ignore[no-untyped-def]
        shown.append((done, count))
        return made

    data = make_demonstrations(tmp_path, config, ROOT, panda, architecture, watch)
    again = make_demonstrations(tmp_path, config, ROOT, panda, architecture, watch)
    assert shown == [(0, 2), (2, 2)]
    assert data.tried == 2
    np.testing.assert_array_equal(data.rgb, again.rgb)
    for episode, sentence in enumerate(data.sentences):
        colours = read_instruction(sentence, architecture)
        frames = np.flatnonzero(data.episode == episode)
        T_cam_base = np.linalg.inv(data.T_base_cam[episode])
        for mark, colour in enumerate((colours.object_colour, colours.target_colour)):
            # Where a mark is said to be, the first picture has the colour of the sentence.
            ((x, y, z),) = se3.transform_points(T_cam_base, data.marks[frames[0], mark][None])
            rays = data.rays[episode]
            u = int(np.argmin(np.abs(rays[0, :, 0] - x / z)))
            v = int(np.argmin(np.abs(rays[:, 0, 1] - y / z)))
            pixel = data.rgb[frames[0], v, u] / 255.0
            hue = pixel / np.linalg.norm(pixel) @ (np.array(colour) / np.linalg.norm(colour))
            assert hue > 0.9, (sentence, mark, pixel, colour)
        # After three seconds and thirty tenths the tool is over the disc, or nearer to the object than it began.
        goal = data.goals[frames[0], :, :3] * architecture.scale + architecture.centre
        assert np.linalg.norm(goal - data.marks[frames[0], 0], axis=-1).min() < 0.01
    with pytest.raises(TrainingError, match="was made with other settings"):
        make_demonstrations(tmp_path, replace(config, push=0.01), ROOT, panda, architecture, watch)
    (tmp_path / "scenes_000000_2.safetensors").write_bytes(b"\x00" * 20)
    with pytest.raises(TrainingError, match="is no whole shard"):
        make_demonstrations(tmp_path, config, ROOT, panda, architecture, watch)


@pytest.mark.parametrize(
    "change", [{"rows": (2, 13)}, {"keypoints": 1}, {"period": 0.0}, {"verbs": ()}, {"diffusion_steps": 1}]
)
def test_sizes_that_do_not_fit_are_named(change: dict[str, object]) -> None:
    with pytest.raises(ArchitectureError, match=next(iter(change))):
        replace(SMALL, **change)  # type: ignore[arg-type]


def test_demonstrations_are_known_by_what_their_scenes_hold(tmp_path: Path, panda: ConfiguredRobot) -> None:
    config = DemonstrationConfig(("scene.yaml",), ("pick_place",), seed=2_000_000, count=2, frames=3)
    recipes = set()
    for kind in ("easy", "hard"):
        (tmp_path / "scene.yaml").write_text((ROOT / f"config/scenes/{kind}.yaml").read_text())
        recipes.add(_recipe(config, tmp_path, panda, SMALL))
    assert len(recipes) == 2
