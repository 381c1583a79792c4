"""Measures inverse kinematics: time per pose and poses reached, against a pinocchio CLIK loop in Python.

    python bench/ik.py --out out/bench

Each of 1000 tool poses is solved from a seed near its known solution, one call a pose, for Panda and UR5; the worse
robot is reported. Paths are the tool's 49 poses along smooth joint motions, solved by one call each. The baseline
solves the same poses with the same tolerances by the closed-loop inverse kinematics of pinocchio's documentation,
seeded and clipped to limits alike.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pinocchio
import tyro
from records import Record, write_records

from k4d_kinematics import resources, se3
from k4d_kinematics.errors import InverseKinematicsError
from k4d_kinematics.ik import DampedLeastSquaresIk, IkSettings
from k4d_kinematics.robot import Robot

ROBOTS = (
    ("package://example-robot-data/robots/panda_description/urdf/panda.urdf", "panda_hand_tcp"),
    ("package://example-robot-data/robots/ur_description/urdf/ur5_robot.urdf", "tool0"),
)
POSES, PATHS, FRAMES, REPEATS = 1000, 20, 49, 5
SEED_NOISE = 0.2
CLIK_ITERATIONS, CLIK_DAMPING = 200, 1e-6


@dataclass(frozen=True)
class Figures:
    """One robot's times per pose in ms, with pinocchio's, and its part of poses reached in percent."""

    pose_ms: float
    pose_clik_ms: float
    path_ms: float
    path_clik_ms: float
    reached: float
    reached_clik: float


class Clik:
    """Closed-loop inverse kinematics in Python on pinocchio, J robot positions in and out."""

    def __init__(self, file: Path, robot: Robot, tip: str, settings: IkSettings) -> None:
        self._model = pinocchio.buildModelFromUrdf(str(file))
        self._data = self._model.createData()
        self._frame = self._model.getFrameId(tip)
        self._columns = [self._model.joints[self._model.getJointId(name)].idx_q for name in robot.joint_names]
        self._settings = settings

    def solve(self, T_base_tool: np.ndarray, q_seed: np.ndarray) -> np.ndarray | None:
        """Joint positions, or None when the tolerances are not met."""
        model, data = self._model, self._data
        goal = pinocchio.SE3(T_base_tool)
        q = pinocchio.neutral(model)
        q[self._columns] = q_seed
        for _ in range(CLIK_ITERATIONS):
            pinocchio.framesForwardKinematics(model, data, q)
            tip_goal = data.oMf[self._frame].actInv(goal)
            error = pinocchio.log6(tip_goal).vector
            if (
                np.linalg.norm(tip_goal.translation) < self._settings.position_tolerance
                and np.linalg.norm(error[3:]) < self._settings.rotation_tolerance
            ):
                return q[self._columns]
            J = pinocchio.computeFrameJacobian(model, data, q, self._frame)
            J = -pinocchio.Jlog6(tip_goal.inverse()) @ J
            step = -J.T @ np.linalg.solve(J @ J.T + CLIK_DAMPING * np.eye(6), error)
            q = np.clip(pinocchio.integrate(model, q, step), model.lowerPositionLimit, model.upperPositionLimit)
        return None


def main(out: Path = Path("out/bench")) -> None:
    """Writes ik.json to the folder ``out``.

    Args:
        out: Folder of the JSON files.
    """
    worst = [measure(uri, tip) for uri, tip in ROBOTS]
    slowest = max(worst, key=lambda figures: figures.pose_ms)
    slowest_path = max(worst, key=lambda figures: figures.path_ms)
    reached = min(figures.reached for figures in worst)
    reached_clik = min(figures.reached_clik for figures in worst)
    near = f"{POSES} random poses, seeds within ±{SEED_NOISE} rad; below 0.1 mm and 1 mrad; worse of Panda and UR5"
    timing = f"CPU time of one core, fastest of {REPEATS} rounds; baseline pinocchio CLIK loop in Python"
    records = [
        Record(
            name="ik_ms",
            value=slowest.pose_ms,
            unit="ms/pose",
            baseline=slowest.pose_clik_ms,
            ratio=slowest.pose_clik_ms / slowest.pose_ms,
            conditions=f"{near}; one checked call a pose; {timing}",
        ),
        Record(
            name="ik_path_ms",
            value=slowest_path.path_ms,
            unit="ms/pose",
            baseline=slowest_path.path_clik_ms,
            ratio=slowest_path.path_clik_ms / slowest_path.path_ms,
            conditions=f"{PATHS} smooth paths of {FRAMES} poses, one call a path; worse of Panda and UR5; {timing}",
        ),
        Record(
            name="ik_success",
            value=reached,
            unit="%",
            baseline=reached_clik,
            ratio=reached / reached_clik,
            conditions=f"{near}; baseline pinocchio CLIK loop, {CLIK_ITERATIONS} iterations",
        ),
    ]
    write_records(out / "ik.json", records)


def measure(uri: str, tip: str) -> Figures:
    """The figures of one robot."""
    file = resources.resolve(uri, None, ())
    robot = Robot.from_file(file)
    solver = DampedLeastSquaresIk(robot, tip, settings=IkSettings(max_jump=np.inf))
    clik = Clik(file, robot, tip, solver.settings)
    q_true, seeds = near_seeds(robot, np.random.default_rng(0))
    T_base_tool = np.stack([solver.tool_pose(q) for q in q_true])
    paths = smooth_paths(solver, robot, np.random.default_rng(1))
    solved = [try_solve(solver, T, q) for T, q in zip(T_base_tool, seeds, strict=True)]
    solved_clik = [clik.solve(T, q) for T, q in zip(T_base_tool, seeds, strict=True)]
    return Figures(
        pose_ms=milliseconds(lambda: [try_solve(solver, T, q) for T, q in zip(T_base_tool, seeds, strict=True)])
        / POSES,
        pose_clik_ms=milliseconds(lambda: [clik.solve(T, q) for T, q in zip(T_base_tool, seeds, strict=True)]) / POSES,
        path_ms=milliseconds(lambda: [solver.solve_path(path, q) for path, q in paths]) / (PATHS * FRAMES),
        path_clik_ms=milliseconds(lambda: [follow(clik, path, q) for path, q in paths]) / (PATHS * FRAMES),
        reached=reached_percent(robot, tip, T_base_tool, solved),
        reached_clik=reached_percent(robot, tip, T_base_tool, solved_clik),
    )


def near_seeds(robot: Robot, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Random positions (POSES, J) within limits and half a turn, and seeds near them within limits."""
    lower, upper = np.maximum(robot.lower, -np.pi), np.minimum(robot.upper, np.pi)
    q_true = generator.uniform(lower, upper, (POSES, len(lower)))
    noise = generator.uniform(-SEED_NOISE, SEED_NOISE, q_true.shape)
    return q_true, np.clip(q_true + noise, robot.lower, robot.upper)


def smooth_paths(
    solver: DampedLeastSquaresIk, robot: Robot, generator: np.random.Generator
) -> list[tuple[np.ndarray, np.ndarray]]:
    """The tool's poses (FRAMES, 4, 4) along joint motions inside the limits, and the motions' starts (J,)."""
    lower, upper = np.maximum(robot.lower, -np.pi), np.minimum(robot.upper, np.pi)
    swing = np.minimum(0.3, 0.2 * (upper - lower))
    phase = np.linspace(0.0, 2.0 * np.pi, FRAMES)
    paths = []
    for start in generator.uniform(lower + swing, upper - swing, (PATHS, len(lower))):
        positions = start + np.outer(np.sin(phase), generator.uniform(-swing, swing))
        paths.append((np.stack([solver.tool_pose(q) for q in positions]), start))
    return paths


def try_solve(solver: DampedLeastSquaresIk, T_base_tool: np.ndarray, q_seed: np.ndarray) -> np.ndarray | None:
    """Joint positions, or None when the pose is not reached."""
    try:
        return solver.solve(T_base_tool, q_seed)
    except InverseKinematicsError:
        return None


def follow(clik: Clik, path: np.ndarray, q: np.ndarray) -> None:
    """Solves a path pose by pose from the last solution."""
    for T in path:
        solution = clik.solve(T, q)
        q = q if solution is None else solution


def reached_percent(robot: Robot, tip: str, T_base_tool: np.ndarray, solved: list[np.ndarray | None]) -> float:
    """Percent of poses whose solution is within limits and, by forward kinematics of all links, the tolerances."""
    link = robot.link_index(tip)
    reached = 0
    for T, q in zip(T_base_tool, solved, strict=True):
        if q is not None and (q >= robot.lower).all() and (q <= robot.upper).all():
            T_reached = robot.forward_kinematics(q)[link]
            near = np.linalg.norm(T_reached[:3, 3] - T[:3, 3]) < 1e-4
            reached += bool(near and se3.rotation_angle(se3.inverse(T_reached) @ T) < 1e-3)
    return 100.0 * reached / len(solved)


def milliseconds(work: Callable[[], object]) -> float:
    """CPU time of the fastest of several rounds."""
    rounds = []
    for _ in range(REPEATS):
        start = time.process_time()
        work()
        rounds.append(time.process_time() - start)
    return 1e3 * min(rounds)


if __name__ == "__main__":
    tyro.cli(main)
