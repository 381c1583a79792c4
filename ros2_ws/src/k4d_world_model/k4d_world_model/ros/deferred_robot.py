"""A robot that is prepared when it is first needed: at a start several nodes would do the same work at once."""

from pathlib import Path

from k4d_kinematics.configuration import RobotConfig, read_configuration
from k4d_kinematics.errors import KinematicsError
from k4d_kinematics.robot_configuration import ConfiguredRobot, configured_robot, described_robot
from k4d_world_model.ros.compare_config import CompareNodeConfig


class DeferredRobot:
    """The robot of a YAML, or of the newest robot_description; ``problem`` says why that could not be prepared."""

    def __init__(self, config: CompareNodeConfig) -> None:
        """Raises ConfigurationError when the YAML that ``config`` names is not usable."""
        if config.robot:
            read_configuration(Path(config.robot), RobotConfig)
        self._config = config
        self._urdf = ""
        self._prepared: tuple[str, ConfiguredRobot] | None = None
        self.problem = ""

    def describe(self, urdf: str) -> None:
        """Takes a robot_description."""
        self._urdf = urdf

    def prepare(self) -> ConfiguredRobot | None:
        """The robot, prepared at the first call, which may take seconds; None where there is none, or none usable."""
        if not self._config.robot and not self._urdf:
            return None
        urdf = self._urdf
        if self._prepared is None or self._prepared[0] != urdf:
            try:
                self._prepared = urdf, self._make(urdf)
                self.problem = ""
            except KinematicsError as error:
                self.problem = str(error)
                return None
        return self._prepared[1]

    def _make(self, urdf: str) -> ConfiguredRobot:
        config = self._config
        if config.robot:
            return configured_robot(config.robot, config.cache_dir)
        return described_robot(
            urdf, tool_link="", geometry="visual", triangle_fraction=1.0, mesh_folders=config.mesh_folders,
            cache_dir=config.cache_dir,
        )  # fmt: skip
