"""Parameters of k4d_plan_gate_node."""

from dataclasses import dataclass
from pathlib import Path

from k4d_kinematics.joint_agreement import SAME_STANCE
from k4d_kinematics.ros.parameters import described


@dataclass(frozen=True)
class PlanGateNodeConfig:
    """Parameters of k4d_plan_gate_node. Raises ConfigurationError on values outside the described ones."""

    robot: str = described("", "Path of a robot YAML as in config/robots; empty takes the topic robot_description.")
    tool_link: str = described("", "Link of the tool, which may touch the scene; a robot YAML names its own.")
    mesh_folders: tuple[str, ...] = described(
        ("",), "Folders outside of installed packages that robot_description may name meshes in; [''] for none."
    )
    camera: str = described("camera", "Camera whose predictions are judged, from <camera>/predicted.")
    contact_distance: float = described(0.01, "Metres within which a link counts as touching the scene.", (0.005, 0.5))
    clearance: float = described(0.03, "Metres that links other than the tool's must keep from the scene.", (0.0, 1.0))
    metric_residual: float = described(0.01, "Largest metric residual in metres without a concern.", (0.0, 1.0))
    observation_age: float = described(30.0, "Most seconds since the observation to send a plan on.", (0.1, 3600.0))
    start_tolerance: float = described(
        SAME_STANCE, "How far a joint may be from the plan's start, rad or m.", (0.0001, 1.0)
    )
    joint_state_age: float = described(0.5, "Most seconds since the last joint state to send a plan on.", (0.02, 60.0))
    max_points: int = described(10_000, "Most points of a plan that is taken.", (1, 1_000_000))
    command_topic: str = described(
        "", "Topic of a joint_trajectory_controller that an accepted plan is sent to; empty never moves the robot."
    )
    surface_cache: str = described("", "Folder for prepared surfaces; empty prepares them anew at each start.")

    @property
    def cache_dir(self) -> Path | None:
        """Where prepared surfaces are kept, None for nowhere."""
        return Path(self.surface_cache) if self.surface_cache else None
