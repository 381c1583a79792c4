"""A remote policy against servers on this machine that encode by hand: what is asked, and what comes of it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from websockets.sync.server import ServerConnection

from k4d_kinematics import ConfiguredRobot
from k4d_kinematics.configuration import from_mapping
from k4d_kinematics.errors import ConfigurationError
from k4d_world_model.errors import PolicyError, PolicyRunError, RemotePolicyError
from k4d_world_model.policy_evaluation.opening import open_policy
from k4d_world_model.policy_evaluation.policy import Observation
from k4d_world_model.policy_evaluation.remote.gripper import GripperMeaning
from k4d_world_model.policy_evaluation.remote.pictures import letterbox
from k4d_world_model.policy_evaluation.remote_policy import RemotePolicy, RemotePolicyConfig

from .conftest import ARENA, BRIEFING, GREETING, configured

ROOT = Path(__file__).resolve().parents[3]


def test_an_openpi_server_is_asked_by_name_and_its_chunk_is_carried_out(
    observation: Observation, plain: Any, served: Any
) -> None:
    actions = np.array([[0.1, 0.2, 0.0], [0.3, 0.4, 0.25], [0.5, 0.6, 1.0], [0.7, 0.8, 1.0]], np.float32)
    asked: list[dict[str, Any]] = []

    def handler(connection: ServerConnection) -> None:
        connection.send(plain.encode({"model": "pi"}))
        for request in connection:
            asked.append(plain.decode(request))
            connection.send(plain.encode({"actions": actions, "server_timing": {"infer_ms": 3.5}}))

    with served(handler) as address, RemotePolicy(configured(address, executed=3, blank_images=("wrist",))) as policy:
        policy.reset(BRIEFING)
        chunk = policy.act(observation)
    assert chunk.joint_names == ("elbow", "shoulder", "finger")
    assert chunk.period == 0.05
    np.testing.assert_allclose(chunk.targets, [[0.1, 0.2, 0.04], [0.3, 0.4, 0.03], [0.5, 0.6, 0.0]], atol=1e-7)
    (request,) = asked
    assert request.keys() == {"observation/exterior_image_1_left", "wrist", "observation/joint_position",
                              "observation/gripper_position", "prompt"}  # fmt: skip
    np.testing.assert_array_equal(request["observation/joint_position"], [-1.0, 0.5])
    np.testing.assert_allclose(request["observation/gripper_position"], [0.25])
    assert request["prompt"] == observation.task
    assert request["wrist"].shape == (10, 21, 3)
    assert not request["wrist"].any()
    # 6 x 14 fits 1.5 times into 10 x 21: nine rows, and half a row too many above and below.
    picture = request["observation/exterior_image_1_left"]
    assert picture.shape == (10, 21, 3)
    assert picture.dtype == np.uint8
    assert not picture[9].any()
    resized = Image.fromarray(observation.rgb).resize((21, 9), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(picture[:9], np.asarray(resized))


def test_velocities_and_deltas_add_up_from_where_the_joints_are(
    observation: Observation, plain: Any, served: Any, answering: Any
) -> None:
    actions = np.array([[1.0, -2.0], [3.0, 0.5]])
    expected = np.array([-1.0, 0.5]) + 0.2 * np.array([[1.0, -2.0], [4.0, -1.5]])
    for meaning, period, share in (("joint_delta", 0.05, 1.0), ("joint_velocity", 0.1, 0.1)):
        handler = answering(plain.encode({}), plain.encode({"actions": actions}))
        with served(handler) as address:
            config = configured(address, action=meaning, action_scale=0.2 / share, period=period, gripper=None)
            with RemotePolicy(config) as policy:
                chunk = policy.act(observation)
        np.testing.assert_allclose(chunk.targets, expected)
        assert chunk.joint_names == ("elbow", "shoulder")


def test_grippers_open_or_close_wholly_at_a_threshold_and_steps_are_clipped(
    observation: Observation, plain: Any, served: Any, answering: Any
) -> None:
    actions = np.array([[1.5, -0.5, 0.6], [-3.0, 0.25, 0.5], [0.5, 1.25, 9.0], [0.0, 0.0, -0.1]])
    steps = np.array([[1.0, -0.5], [-1.0, 0.25], [0.5, 1.0], [0.0, 0.0]])
    for closed, opened, fingers in ((1.0, 0.0, [0.0, 0.04, 0.0, 0.04]), (0.0, 1.0, [0.04, 0.0, 0.04, 0.0])):
        gripper = GripperMeaning("finger", 0.04, open_value=opened, closed_value=closed, threshold=0.5)
        with served(answering(plain.encode({}), plain.encode({"actions": actions}))) as address:
            config = configured(address, action="joint_delta", action_scale=0.2, action_limit=1.0, gripper=gripper)
            with RemotePolicy(config) as policy:
                targets = policy.act(observation).targets
        np.testing.assert_allclose(targets[:, :2], np.array([-1.0, 0.5]) + 0.2 * np.cumsum(steps, axis=0))
        np.testing.assert_allclose(targets[:, 2], fingers)


@pytest.mark.parametrize("needs_session", [True, False])
def test_a_roboarena_server_is_told_of_each_run_and_answers_with_an_array(
    needs_session: bool, observation: Observation, plain: Any, served: Any
) -> None:
    asked: list[dict[str, Any]] = []

    def handler(connection: ServerConnection) -> None:
        connection.send(plain.encode(GREETING | {"needs_session_id": needs_session, "a_later_key": {"x": 1}}))
        for request in connection:
            asked.append(plain.decode(request))
            reset = asked[-1].pop("endpoint") == "reset"
            connection.send("reset successful" if reset else plain.encode(np.full((4, 3), 0.5, np.float32)))

    with served(handler) as address, RemotePolicy(configured(address, **ARENA)) as policy:
        for _ in range(2):
            policy.reset(BRIEFING)
            for _ in range(2):
                assert policy.act(observation).targets.shape == (4, 3)
    sessions = [asked[k].pop("session_id") for k in (0, 3)]
    assert all(isinstance(session, str) and session for session in sessions)
    assert sessions[0] != sessions[1], "another run is another session"
    assert asked[0] == asked[3] == {"prompt": BRIEFING.task}
    told = [sessions[0]] * 2 + [sessions[1]] * 2 if needs_session else [None] * 4
    assert [asked[k].get("session_id") for k in (1, 2, 4, 5)] == told
    # RoboArena resizes without regard to proportions.
    stretched = Image.fromarray(observation.rgb).resize((21, 10), Image.Resampling.LANCZOS)
    np.testing.assert_array_equal(asked[1]["observation/exterior_image_1_left"], np.asarray(stretched))


def test_external_cameras_count_from_one_or_from_zero(plain: Any, served: Any, answering: Any) -> None:
    for numbers in ((1, 2), (0, 1)):
        first, second = (f"observation/exterior_image_{number}_left" for number in numbers)
        names = {"image_key": first, "blank_images": (second, "observation/wrist_image_left")}
        handler = answering(plain.encode(GREETING | {"n_external_cameras": 2}), "reset successful")
        with served(handler) as address, RemotePolicy(configured(address, **ARENA | names)) as policy:
            policy.reset(BRIEFING)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"action_space": "joint_velocity"}, "its actions are 'joint_velocity'"),
     ({"image_resolution": [224, 224]}, "pictures of \\(224, 224\\) pixels"),
     ({"n_external_cameras": 2}, "demands observation/exterior_image_2_left"),
     ({"needs_stereo_camera": True}, "demands observation/exterior_image_1_right, observation/wrist_image_right"),
     ({"n_external_cameras": "two"}, "is not RoboArena's: .*n_external_cameras")],
)  # fmt: skip
def test_a_roboarena_server_that_demands_something_else_is_named(
    change: dict[str, Any], message: str, plain: Any, served: Any, answering: Any
) -> None:
    with served(answering(plain.encode(GREETING | change))) as address, pytest.raises(RemotePolicyError, match=message):
        RemotePolicy(configured(address, **ARENA)).reset(BRIEFING)


def test_an_array_of_objects_is_refused_and_unpickles_nothing(
    observation: Observation, plain: Any, served: Any, answering: Any
) -> None:
    # Unpickled, it would import this module's name and fail loudly; numpy would unpickle it with allow_pickle.
    evil = b"cnowhere_at_all\nboom\n(tR."
    for dtype in ("|O", "O"):
        actions = plain.array(dtype, [1, 3], evil)
        with (
            served(answering(plain.encode({}), plain.encode({"actions": actions}))) as address,
            RemotePolicy(configured(address)) as policy,
            pytest.raises(RemotePolicyError, match=r"one of .*got .*O"),
        ):
            policy.act(observation)


@pytest.mark.parametrize(
    ("answer", "message"),
    [({"action": [1]}, "lacks 'actions'; it has action"), ({"actions": [[0.1, 0.2, 0.3]]}, "got list"),
     ({"actions": np.zeros((2, 4))}, "must be .N >= 1, 3., got .2, 4."), ({"actions": np.zeros((0, 3))}, "got .0, 3."),
     ({"actions": np.zeros(3)}, "got float64 .3,."), ({"actions": np.ones((2, 3), bool)}, "got bool"),
     ({"actions": np.array([[0.0, np.nan, 1.0]])}, "must be finite"), ([1], "got list"), (None, "got NoneType"),
     ("Traceback (most recent call last):\n  boom", "it reports .*boom"), (b"\xc1", "is no msgpack message")],
)  # fmt: skip
def test_answers_that_are_no_actions_are_named(
    answer: Any, message: str, observation: Observation, plain: Any, served: Any, answering: Any
) -> None:
    sent = answer if isinstance(answer, str | bytes) else plain.encode(answer)
    with (
        served(answering(plain.encode({}), sent)) as address,
        RemotePolicy(configured(address)) as policy,
        pytest.raises(RemotePolicyError, match=f"(?s){address}: .*{message}"),
    ):
        policy.act(observation)


def test_a_joint_that_the_robot_lacks_is_named(observation: Observation) -> None:
    with pytest.raises(RemotePolicyError, match="no joint 'wing'; it has shoulder, elbow, finger"):
        RemotePolicy(configured("ws://127.0.0.1:9", joints=("wing",))).act(observation)


@pytest.mark.parametrize(
    ("rows", "columns", "inner"), [(6, 14, (slice(0, 3), slice(0, 7))), (20, 5, (slice(0, 4), slice(3, 4)))]
)
def test_pictures_keep_their_proportions(rows: int, columns: int, inner: tuple[slice, slice]) -> None:
    boxed = letterbox(np.full((rows, columns, 3), 200, np.uint8), 4, 7)
    expected = np.zeros((4, 7, 3), np.uint8)
    expected[inner] = 200
    np.testing.assert_array_equal(boxed, expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"server": {"url": "http://127.0.0.1"}}, "url must be ws"), ({"server": {"url": "ws://"}}, "url must be ws"),
     ({"server": {"url": "ws://host:99999"}}, "url must be ws.*99999.*Port out of range"),
     ({"server": {"url": "ws://h/#x"}}, "url must be ws.*fragment"), ({"server": {"url": "ws://a..b"}}, "url must be"),
     ({"server": {"url": "ws://me@h"}}, "url must be ws.*password"), ({"server": {"url": "ws://[::1"}}, "url must be"),
     ({"gripper": {"joint": "f", "open_position": 0.04, "threshold": 1.0}}, "threshold must lie between .* got 1.0"),
     ({"action_limit": 1.0}, "action_limit is for velocities and deltas only"),
     ({"action": "joint_delta", "action_limit": 0.0}, "action_limit must be above 0"), ({"fit": "crop"}, "fit"),
     ({"server": {"url": "ws://h", "patience": 0.0}}, "patience must be"), ({"joints": []}, "joints must be"),
     ({"joints": ["a", "a"]}, "none twice"), ({"name": "a/b"}, "a policy's name"), ({"period": 0.0}, "period must be"),
     ({"image_width": 0}, "image_height and image_width"), ({"action_scale": 2.0}, "velocities and deltas only"),
     ({"gripper": {"joint": "f", "open_position": 0.0}}, "must differ"), ({"acton": "x"}, "did you mean 'action'")],
)  # fmt: skip
def test_configurations_that_cannot_be_meant_are_named(change: dict[str, Any], message: str) -> None:
    content = {"name": "far", "server": {"url": "ws://127.0.0.1:8000"}, "joints": ["a"]} | change
    with pytest.raises((PolicyError, ConfigurationError), match=message):
        from_mapping(content, RemotePolicyConfig)


def test_policies_of_yaml_files_open_by_name(tmp_path: Path) -> None:
    robot: ConfiguredRobot = None  # type: ignore[assignment]  # a remote policy knows no robot
    path = ROOT / "config/policies/remote_roboarena.yaml"
    assert open_policy(f"remote:{path}", robot).name == "roboarena"
    assert open_policy(f"remote:{path.with_name('remote_droid.yaml')}", robot).name == "droid"
    (tmp_path / "bad.yaml").write_text("name: far\njoints: [a]\nserver: {url: 'http://x'}\n")
    for spec, message in (("remote", "needs the YAML file"), (f"remote:{tmp_path / 'bad.yaml'}", "url must be ws"),
                          (f"diffusion:{tmp_path / 'none.yaml'}", "cannot be read")):  # fmt: skip
        with pytest.raises(PolicyRunError, match=message):
            open_policy(spec, robot)
