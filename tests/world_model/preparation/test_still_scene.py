"""What stays of a scene, and what stands out of it, in a room whose every pixel is known."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from k4d_kinematics import Camera, ToolPath, se3
from k4d_world_model.conditioning import Conditioning
from k4d_world_model.errors import ConditioningError
from k4d_world_model.movers import EVIDENCE, MOST_MOVERS, find_movers
from k4d_world_model.preparation import prepare
from k4d_world_model.scene_objects import find_objects
from k4d_world_model.still_scene import MOUNT_RADIUS, SURFACES, still_scene
from k4d_world_model.wan.architecture import Architecture, CodecSize, RobotTokenSize, TransformerSize

FRAMES, HEIGHT, WIDTH = 9, 64, 96
CAMERA = Camera.pinhole(HEIGHT, WIDTH, 90.0, 90.0, 47.5, 31.5, frame_id="eye")
# The camera looks at the base from 1.3 m before it and 0.9 m above the table, which is at the base's foot.
LOOK = Rotation.from_euler("x", -120, degrees=True).as_matrix()
T_BASE_CAM = np.eye(4)
T_BASE_CAM[:3, :3] = Rotation.from_euler("z", 90, degrees=True).as_matrix() @ LOOK
T_BASE_CAM[:3, 3] = [1.3, 0.0, 0.9]
RAYS = np.concatenate([CAMERA.rays(), np.ones((HEIGHT, WIDTH, 1))], axis=-1)
WAY, EYE = RAYS @ T_BASE_CAM[:3, :3].T, T_BASE_CAM[:3, 3]


def plane(axis: int, at: float) -> np.ndarray:
    """Depths (H, W) of a plane square to an axis of the base frame, infinite where it is behind."""
    with np.errstate(divide="ignore"):
        depth = (at - EYE[axis]) / WAY[..., axis]
    return np.where(depth > 0, depth, np.inf)


def box(low: tuple[float, float, float], high: tuple[float, float, float]) -> np.ndarray:
    """Depths (H, W) of an upright box, infinite beside it."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ends = np.stack([(np.array(low) - EYE) / WAY, (np.array(high) - EYE) / WAY])
    enter, leave = ends.min(axis=0).max(axis=-1), ends.max(axis=0).min(axis=-1)
    return np.where((enter < leave) & (enter > 0), enter, np.inf)


TABLE = np.where(np.abs(EYE[0] + plane(2, 0.0) * WAY[..., 0] - 0.5) < 0.35, plane(2, 0.0), np.inf)
ROOM = np.minimum(np.minimum(plane(2, -0.7), plane(0, -0.8)), TABLE)
CUBE = ((0.45, 0.08, 0.0), (0.49, 0.12, 0.045))


def test_looking_at_the_room_shows_its_parts():
    assert EYE[0] + WAY[32, 48, 0] < 1.3  # ahead is towards the base
    assert np.isfinite(ROOM).all()
    assert 0.1 < np.isfinite(TABLE).mean() < 0.9


def test_planes_and_the_column_under_the_robot_are_told():
    known = np.ones((HEIGHT, WIDTH), np.bool_)
    known[10:34, 40:56] = False
    scene = still_scene(np.where(known, ROOM, 0.0), known, CAMERA, T_BASE_CAM)
    assert scene.depths.shape == scene.reached.shape == (SURFACES, HEIGHT, WIDTH)
    assert np.isfinite(scene.depths).all()
    mount = np.where(scene.reached[-1], scene.depths[-1], np.inf)
    hit = RAYS[np.isfinite(mount)] * mount[np.isfinite(mount)][:, None]
    places = hit @ T_BASE_CAM[:3, :3].T + EYE
    apart = np.linalg.norm(places[:, :2], axis=-1)
    assert len(places) > 20
    on_top = np.abs(places[:, 2]) < 1e-9
    assert (apart[on_top] <= MOUNT_RADIUS).all()
    np.testing.assert_allclose(apart[~on_top], MOUNT_RADIUS, atol=1e-9)
    assert (places[~on_top, 2] < 0).all()
    beside = ~np.isfinite(mount) & ~known
    np.testing.assert_allclose(scene.nearest[beside], ROOM[beside], rtol=5e-3)


def test_a_thing_is_about_as_large_as_it_is():
    seen = np.minimum(ROOM, box(*CUBE))
    points, still = (EYE + depth[..., None] * WAY for depth in (seen, ROOM))
    things = find_objects(points, still, seen < ROOM - 0.003, EYE)
    assert len(things) == 1
    np.testing.assert_allclose(things[0].centre, [0.47, 0.1, 0.0225], atol=0.012)
    assert things[0].radius == pytest.approx(0.022, abs=0.006)
    assert things[0].height == pytest.approx(0.045, abs=0.016)
    assert things[0].pixels[seen < ROOM - 0.01].all()


@pytest.mark.parametrize(
    ("low", "high"),
    [
        ((0.45, 0.08, 0.1), (0.49, 0.12, 0.15)),  # hangs in the air
        ((0.3, -0.3, 0.0), (0.5, 0.2, 0.05)),  # is larger than any tool moves
        ((0.45, 0.08, 0.0), (0.49, 0.12, 0.006)),  # is flat
    ],
    ids=["hangs", "large", "flat"],
)
def test_what_no_tool_moves_is_no_thing(low, high):
    seen = np.minimum(ROOM, box(low, high))
    assert (seen < ROOM).any()
    points, still = (EYE + depth[..., None] * WAY for depth in (seen, ROOM))
    assert find_objects(points, still, seen < ROOM - 0.003, EYE) == []


def test_things_apart_from_each_other_are_two():
    seen = np.minimum(ROOM, np.minimum(box(*CUBE), box((0.45, -0.1, 0.0), (0.49, -0.06, 0.045))))
    points, still = (EYE + depth[..., None] * WAY for depth in (seen, ROOM))
    things = find_objects(points, still, seen < ROOM - 0.003, EYE)
    assert sorted(round(thing.centre[1], 1) for thing in things) == [-0.1, 0.1]


@pytest.fixture
def carrying() -> Conditioning:
    """A tool that comes down on the cube, closes on it and lifts it; a robot of a few pixels far from all that."""
    seen = np.minimum(ROOM, box(*CUBE))
    mask = np.zeros((FRAMES, HEIGHT, WIDTH), np.bool_)
    for t in range(FRAMES):
        mask[t, 2:8, 10 + t : 16 + t] = True
    robot = np.where(mask[..., None], (0.9 * RAYS).astype(np.float32), np.float32(np.nan))
    height = np.array([0.2, 0.1, 0.03, 0.03, 0.03, 0.06, 0.1, 0.15, 0.2])
    T = np.tile(np.eye(4), (FRAMES, 1, 1))
    T[:, :3, :3] = np.diag([1.0, -1.0, -1.0])
    T[:, :3, 3] = np.stack([np.full(FRAMES, 0.47), np.full(FRAMES, 0.1), height], axis=-1)
    opening = np.array([0.08, 0.08, 0.08, 0.06, 0.04, 0.04, 0.04, 0.04, 0.04])
    first = np.where(mask[0, ..., None], robot[0], (seen[..., None] * RAYS).astype(np.float32))
    return Conditioning(
        first_frame=np.random.default_rng(2).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8),
        robot_points=robot,
        robot_mask=mask,
        times=0.1 * np.arange(FRAMES),
        camera=CAMERA,
        T_cam_base=np.tile(se3.inverse(T_BASE_CAM), (FRAMES, 1, 1)),
        robot_rgb=np.where(mask[..., None], np.uint8(180), np.uint8(0)).repeat(3, axis=-1),
        first_points=first,
        tool=ToolPath(T, opening),
    )


@pytest.fixture
def architecture() -> Architecture:
    return Architecture(
        FRAMES, HEIGHT, WIDTH, first_frame_geometry="measured", normalization="robot", robot_pictures="rendered",
        prior="frozen_world", head="motion", continues_surfaces=True, moves_objects=True,
        codec=CodecSize("pixels", 8, 4, 3 * 4 * 64), transformer=TransformerSize((1, 2, 2), 2, 12, 48, 2, 16, 0),
        robot_tokens=RobotTokenSize(2, (3, 1, 2)),
    )  # fmt: skip


def test_what_the_tool_carries_moves_with_it(carrying):
    known = ~carrying.robot_mask[0]
    movers = find_movers(carrying, known, ROOM)
    assert movers.pixels.shape == (MOST_MOVERS, HEIGHT, WIDTH)
    assert movers.evidence.shape == (MOST_MOVERS, FRAMES, EVIDENCE)
    assert movers.pixels.any(axis=(1, 2)).tolist() == [True, False, False]
    base = movers.path[0] @ T_BASE_CAM[:3, :3].T + EYE
    np.testing.assert_allclose(base[-1] - base[0], [0.0, 0.0, 0.17], atol=1e-5)
    np.testing.assert_allclose(base[:4], np.tile(base[0], (4, 1)), atol=1e-5)
    assert movers.evidence[0, -1, 1] == pytest.approx(1.7, abs=1e-5)
    assert movers.evidence[0, :, 2].tolist() == [0, 0, 0, 1, 1, 1, 1, 1, 1]  # 6 cm are nearly as narrow as it is
    assert not movers.path[1:].any()
    elsewhere = replace(
        carrying, tool=ToolPath(carrying.tool.T_base_tool + [[0, 0, 0, 0.2]] * 4, carrying.tool.opening)
    )
    assert not find_movers(elsewhere, known, ROOM).pixels.any()


def test_a_model_reads_what_moves_and_what_is_behind_it(carrying, architecture):
    inputs, by = prepare(carrying, architecture)
    pixels = inputs.mover_pixels[0, 0].numpy()
    assert pixels.any()
    uncovered = inputs.uncovered[0, 0].numpy() > 0
    assert uncovered[pixels].all()
    assert not (inputs.hole[0, 0].numpy() > 0)[pixels].any()
    depths, reached = inputs.surfaces[0].chunk(2)
    metres = depths.numpy() * by.scale[2] + by.offset[2]
    nearest = np.where(reached.numpy() > 0, metres, np.inf).min(axis=0)
    np.testing.assert_allclose(nearest[pixels], ROOM[pixels], rtol=5e-3)
    still, _ = prepare(carrying, replace(architecture, moves_objects=False))
    assert still.mover_pixels.shape == (1, 0, HEIGHT, WIDTH)
    assert np.array_equal(still.behind_rgb, still.background_rgb)


def test_a_model_that_follows_the_tool_needs_it(carrying, architecture):
    with pytest.raises(ConditioningError, match="name the robot's tool_link"):
        prepare(replace(carrying, tool=None), architecture)
    short = ToolPath(carrying.tool.T_base_tool[:3], carrying.tool.opening[:3])
    with pytest.raises(ConditioningError, match="tool must have one pose for each of 9 times, got 3"):
        replace(carrying, tool=short)


def test_beside_a_robot_that_stands_still_pixels_stay(carrying, architecture):
    mask = np.repeat(carrying.robot_mask[:1], FRAMES, axis=0)
    robot = np.repeat(carrying.robot_points[:1], FRAMES, axis=0)
    inputs, _ = prepare(replace(carrying, robot_mask=mask, robot_points=robot), architecture)
    assert np.array_equal(inputs.hole[0, 0].numpy() > 0, mask[0])
    moving, _ = prepare(carrying, architecture)
    assert (moving.hole[0, 0].numpy() > 0).sum() > mask[0].sum()
