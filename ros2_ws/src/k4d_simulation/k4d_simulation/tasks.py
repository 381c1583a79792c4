"""What the robot can be asked to do, and which robot can do it."""

from typing import Literal, get_args

from k4d_kinematics import ConfiguredRobot
from k4d_simulation.errors import SceneError

Task = Literal["pick_place", "push", "reach"]

TASKS: tuple[Task, ...] = get_args(Task)


def arm_joint_names(robot: ConfiguredRobot) -> tuple[str, ...]:
    """The joints between the root link and the tool, which carry the tool."""
    return robot.robot.chain(robot.tool_link).joint_names


def gripper_joint_names(robot: ConfiguredRobot) -> tuple[str, ...]:
    """The sliding joints beside the arm's, which open the gripper; empty without a gripper."""
    model, arm = robot.robot, arm_joint_names(robot)
    return tuple(
        name for name, turns in zip(model.joint_names, model.is_revolute, strict=True) if not turns and name not in arm
    )


def tasks_of(robot: ConfiguredRobot) -> tuple[Task, ...]:
    """The tasks that a robot can do: all with a gripper, those that need no grasp without."""
    return TASKS if gripper_joint_names(robot) else ("push", "reach")


def check_task(robot: ConfiguredRobot, task: str) -> Task:
    """``task`` as one that ``robot`` can do. Raises SceneError naming the valid tasks."""
    for valid in tasks_of(robot):
        if task == valid:
            return valid
    raise SceneError(f"robot {robot.robot.name!r} cannot do task {task!r}; it can do {', '.join(tasks_of(robot))}")
