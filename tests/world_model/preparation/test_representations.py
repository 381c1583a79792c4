"""What of the robot reaches a model: all that its condition tells and nothing else."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from k4d_kinematics import JointTrajectory
from k4d_world_model.conditioning import Conditioning
from k4d_world_model.errors import ConditioningError
from k4d_world_model.preparation import prepare, word_counts
from k4d_world_model.wan.architecture import Architecture, CodecSize
from k4d_world_model.wan.codec import PixelCodec
from k4d_world_model.wan.encoding import encode, encode_pair, soften
from k4d_world_model.wan.head import head_channels
from k4d_world_model.wan.transformer import RobotWorldTransformer, build_transformer

SIZES = {"actions": 3, "text": 11}
JOINTS = ("a", "b", "c")


def other_points(conditioning: Conditioning, axes: tuple[int, ...]) -> Conditioning:
    points = conditioning.robot_points.copy()
    points[..., axes] += 0.07
    return replace(conditioning, robot_points=points)


def other_robot(conditioning: Conditioning) -> Conditioning:
    """Another silhouette, whose pixels have points of their own."""
    shift = (0, 4, 8)
    return replace(
        conditioning,
        robot_points=np.roll(conditioning.robot_points, shift, (0, 1, 2)),
        robot_mask=np.roll(conditioning.robot_mask, shift, (0, 1, 2)),
    )


def other_joints(conditioning: Conditioning) -> Conditioning:
    assert conditioning.joints is not None
    positions = conditioning.joints.positions[::-1].copy()  # the same poses in another order
    return replace(conditioning, joints=JointTrajectory(JOINTS, conditioning.times, positions))


CHANGES: dict[str, Callable[[Conditioning], Conditioning]] = {
    "sideways": lambda one: other_points(one, (0, 1)),
    "depths": lambda one: other_points(one, (2,)),
    "silhouette": other_robot,
    "colours": lambda one: replace(one, robot_rgb=one.robot_rgb // 2),
    "joints": other_joints,
    "words": lambda one: replace(one, instruction="The robot pushes the blue box."),
    "pictures": lambda one: replace(one, pictures=255 - one.pictures),
    "first points": lambda one: replace(one, first_points=one.first_points * np.float32(1.1)),
}
READS = {
    "robot_rgb_and_pointmap": {"sideways", "depths", "silhouette", "colours"},
    "robot_pointmap": {"sideways", "depths", "silhouette"},
    "robot_depth": {"depths", "silhouette"},
    "robot_rgb": {"silhouette", "colours"},
    "robot_silhouette": {"silhouette"},
    "robot_mask": {"silhouette"},
    "actions": {"joints"},
    "text": {"words"},
    "pictures": {"pictures"},
    "none": set(),
}


def build(architecture: Architecture) -> RobotWorldTransformer:
    """A transformer in which nothing is zero any more, as after training."""
    with torch.random.fork_rng():
        torch.manual_seed(4)
        net = build_transformer(architecture, head_channels(architecture)).eval()
        for parameter in net.parameters():
            if not parameter.any():
                torch.nn.init.normal_(parameter, std=0.3)
    return net


@torch.no_grad()
def output(net: RobotWorldTransformer, conditioning: Conditioning, architecture: Architecture) -> torch.Tensor:
    encoded = encode(prepare(conditioning, architecture)[0], architecture, PixelCodec(architecture.codec))
    return net(encoded.channels, torch.tensor([1000.0]), encoded.robot, return_dict=False)[0]


@pytest.mark.parametrize(
    ("condition", "geometry"), [*((condition, "ramp") for condition in READS), ("robot_pointmap", "measured")]
)
def test_a_model_is_told_its_condition_and_nothing_else(
    everything: Conditioning, told: Architecture, condition: str, geometry: str
) -> None:
    chosen = replace(told, condition=condition, action_size=SIZES.get(condition, 0), first_frame_geometry=geometry)
    net = build(chosen)
    before = output(net, everything, chosen)
    expected = READS[condition] | ({"first points"} if geometry == "measured" else set())
    read = {
        name for name, change in CHANGES.items() if not torch.equal(output(net, change(everything), chosen), before)
    }
    assert read == expected


def test_without_the_mask_only_latents_tell_of_the_robot(everything: Conditioning, told: Architecture) -> None:
    bare = replace(told, condition="robot_mask", tells_robot_mask=False)
    net = build(bare)
    assert torch.equal(output(net, other_robot(everything), bare), output(net, everything, bare))
    masked = replace(bare, condition="robot_pointmap")
    assert not torch.equal(output(net, other_robot(everything), masked), output(net, everything, masked))


def test_in_both_halves_conditions_differ_in_latents_alone(everything: Conditioning, told: Architecture) -> None:
    codec, inputs = PixelCodec(told.codec), prepare(everything, told)[0]

    def halves(condition: str) -> tuple[torch.Tensor, ...]:
        return encode(inputs, replace(told, condition=condition), codec).robot.chunk(2, dim=-1)

    rgb, points = halves("robot_rgb_and_pointmap")
    assert torch.equal(
        torch.cat([rgb, points], dim=-1)[:, 4:], encode_pair(inputs.robot_rgb, inputs.robot_points, told, codec)
    )
    expected = {"robot_rgb": rgb, "robot_pointmap": points}
    for condition, robot in expected.items():
        assert all(torch.equal(half, robot) for half in halves(condition))
    for condition in ("robot_silhouette", "robot_mask", "robot_depth"):
        left, right = halves(condition)
        assert torch.equal(left, right)
        assert torch.equal(left[:, :4], rgb[:, :4])


def test_a_silhouette_is_a_picture_of_the_mask(everything: Conditioning, told: Architecture) -> None:
    chosen, codec = replace(told, condition="robot_silhouette", robot_in_both_halves=False), PixelCodec(told.codec)
    robot = encode(prepare(everything, chosen)[0], chosen, codec).robot
    picture = codec.decode(robot[:, 4:])[0]
    assert np.array_equal(picture.numpy() > 0, np.repeat(everything.robot_mask[None], 3, axis=0))
    assert torch.allclose(picture.abs(), torch.ones_like(picture))


@pytest.mark.parametrize("share", [0.0, 0.2, 0.7])
def test_a_share_of_the_occupied_cells_is_soft_in_both_halves(
    everything: Conditioning, told: Architecture, share: float
) -> None:
    fine = replace(told, codec=CodecSize("pixels", 2, 4, 48))
    robot = encode(prepare(everything, fine)[0], fine, PixelCodec(fine.codec)).robot
    soft = soften(robot, share, torch.Generator().manual_seed(5))
    left, right = soft[:, 0].chunk(2, dim=-1)
    occupied = int((robot[:, 0].chunk(2, dim=-1)[0] == 1).sum())
    assert occupied > 20
    assert torch.equal(left, right)
    assert int((left == 0.5).sum()) == int(share * occupied)
    assert int((left == 1).sum()) == occupied - int(share * occupied)


def test_an_order_of_poses_is_told(told: Architecture) -> None:
    chosen = replace(told, condition="actions", action_size=3)
    embed = build(chosen).condition_embedder.text_embedder
    same = embed(torch.ones(1, 9, 3, 1, 1))[0]  # (9, width)
    distances = torch.cdist(same, same) + torch.eye(9)
    assert (distances > 0.1).all()


def test_words_are_counted_whatever_their_case_and_signs() -> None:
    counts = word_counts("Push the box, the BOX!", 64)
    assert counts.sum() == 5
    assert sorted(counts[counts > 0]) == [1, 2, 2]
    assert np.array_equal(counts, word_counts("box the push the box", 64))


@pytest.mark.parametrize(
    ("condition", "lost", "match"),
    [("text", {"instruction": " "}, "instruction"), ("pictures", {"pictures": None}, "pictures")],
)
def test_what_a_condition_reads_must_be_there(
    everything: Conditioning, told: Architecture, condition: str, lost: dict[str, object], match: str
) -> None:
    chosen = replace(told, condition=condition, action_size=SIZES.get(condition, 0))
    with pytest.raises(ConditioningError, match=match):
        prepare(replace(everything, **lost), chosen)


def test_a_fixed_normalisation_depends_on_nothing(everything: Conditioning, told: Architecture) -> None:
    inputs, by = prepare(everything, told)
    assert by.scale.tolist() == [1.5, 1.5, 1.5]
    assert by.offset.tolist() == [0.0, 0.0, 1.5]
    seen = inputs.robot_points[0].numpy()[:, everything.robot_mask].T
    assert np.allclose(1.5 * seen + by.offset, everything.robot_points[everything.robot_mask], atol=1e-6)
