"""What our states take from MoveIt's scene, by a stand-in of moveit_py that knows only what is asked here."""

from contextlib import contextmanager
from copy import copy
from types import SimpleNamespace

import numpy as np
import pytest
from trajectory_msgs.msg import JointTrajectory

from k4d_kinematics.errors import ToolPathError
from k4d_kinematics.ik import DampedLeastSquaresIk
from k4d_kinematics.planning import JointGoal
from k4d_kinematics.robot import Robot
from k4d_kinematics.ros import kinematics_backend, moveit_planner, moveit_python
from k4d_kinematics.ros.kinematics_backend import BackendConfig

TIP = "panda_hand_tcp"
PANDA = Robot.from_file("package://example-robot-data/robots/panda_description/urdf/panda.urdf")
HOME = np.array([0.01, -0.4, 0.01, -2.2, 0.01, 1.9, 0.8, 0.02])


class State:
    """Joint positions, and what is attached to the robot."""

    def __init__(self, model):
        self.joint_positions, self.attached = dict.fromkeys(PANDA.joint_names, 0.0), []

    def update(self):
        pass

    def get_global_link_transform(self, link):
        return PANDA.forward_kinematics(list(self.joint_positions.values()))[PANDA.link_index(link)]

    def set_from_ik(self, group, pose, tip, timeout):
        q = DampedLeastSquaresIk(PANDA, TIP).solve(moveit_poses[-1], np.array(list(self.joint_positions.values())))
        self.joint_positions = dict(zip(PANDA.joint_names, q.tolist(), strict=True))
        return True


moveit_poses = []


class Scene:
    """A scene in which only what is attached to the robot can collide."""

    def __init__(self):
        self.current_state = State(None)

    @contextmanager
    def read_only(self):
        yield self

    def is_state_colliding(self, robot_state, joint_model_group_name):
        return bool(robot_state.attached)


class MoveItPy:
    """MoveIt of the Panda's arm, which plans to where the robot is."""

    def __init__(self, **_):
        self.scene = Scene()
        group = SimpleNamespace(active_joint_model_names=PANDA.joint_names[:7])
        self.model = SimpleNamespace(
            has_joint_model_group=lambda name: True, get_joint_model_group=lambda name: group, model_frame="world"
        )
        answer = SimpleNamespace(get_robot_trajectory_msg=lambda: SimpleNamespace(joint_trajectory=JointTrajectory()))
        self.component = SimpleNamespace(
            set_start_state=lambda robot_state: started_from.append(robot_state),
            set_goal_state=lambda motion_plan_constraints: None,
            plan=lambda single_plan_parameters: SimpleNamespace(trajectory=answer),
        )
        running.append(self)

    def get_robot_model(self):
        return self.model

    def get_planning_component(self, group):
        return self.component

    def get_planning_scene_monitor(self):
        return self.scene

    def shutdown(self):
        pass


running, started_from = [], []


@pytest.fixture
def backend(monkeypatch, tmp_path):
    def stand_in(name):
        return SimpleNamespace(
            MoveItPy=MoveItPy, PlanRequestParameters=lambda moveit, name: SimpleNamespace(), RobotState=State
        )

    def remembered(T_model_tool):
        moveit_poses.append(T_model_tool)
        return T_model_tool

    monkeypatch.setattr(moveit_python, "moveit_module", stand_in)
    monkeypatch.setattr(moveit_python, "pose_message", remembered)
    monkeypatch.setattr(moveit_planner, "joint_goal", lambda joints, positions: None)
    file = tmp_path / "moveit.yaml"
    file.write_text("")
    return kinematics_backend.open_kinematics(BackendConfig("moveit", "arm", str(file)), PANDA, TIP, None)


def test_plans_start_with_what_is_attached_to_the_robot(backend):
    running[-1].scene.current_state.attached.append("a long box")
    backend.planner.plan(HOME, JointGoal(HOME))
    assert started_from[-1].attached == ["a long box"]
    np.testing.assert_array_equal(list(started_from[-1].joint_positions.values()), HOME)
    assert not any(running[-1].scene.current_state.joint_positions.values()), "the scene itself was moved"


def test_tool_paths_are_checked_with_what_is_attached_to_the_robot(backend):
    T = PANDA.forward_kinematics(HOME)[PANDA.link_index(TIP)]
    T[:3, 3] += [0.0, 0.02, 0.0]
    assert len(backend.planner.plan_tool_path(HOME, T[None])) > 2
    running[-1].scene.current_state = copy(running[-1].scene.current_state)
    running[-1].scene.current_state.attached = ["a long box"]
    with pytest.raises(ToolPathError, match="collides after 0%"):
        backend.planner.plan_tool_path(HOME, T[None])
