"""Which pictures of a robot that is being watched are taken for a calibration, and when there are enough."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from k4d_kinematics import Camera, ConfiguredRobot, Renderer
from k4d_kinematics.calibration.expected_deviation import expected_position_std
from k4d_kinematics.calibration.pose_sets import PoseSetLimits, posture_distance
from k4d_kinematics.calibration.refinement import MOST_POINTS
from k4d_kinematics.calibration.views import RobotContour, robot_contour
from k4d_world_model.calibration.postures import joint_speeds, postures
from k4d_world_model.calibration.recorded_poses import ALIKE, LEAST_POSES, PoseChoice, Refusal
from k4d_world_model.dataset.sources.joint_samples import JointSamples
from k4d_world_model.errors import RejectedEpisodeError

Array = NDArray[np.float64]

_JOINTLESS, _UNSEEN = "without joints", "with too little of the robot"


@dataclass(eq=False)
class PoseCollection:
    """Takes still pictures of different postures until their outlines will tell the camera's place well enough.

    choice: most pictures, fastest joint and least travel, as for a recording. enough_std: metres; the collection is
    complete when the camera's position will have no larger standard deviation, and not before 5 pictures.
    T_guess: ``T_cam_parent`` (4, 4) as far as it is known. ``said`` is the last refusal that was reported.
    """

    robot: ConfiguredRobot
    parent_link: str
    T_guess: Array
    choice: PoseChoice
    enough_std: float
    expected_std: float = float("inf")
    _taken: list[Array] = field(default_factory=list)
    _contours: list[RobotContour] = field(default_factory=list)

    @property
    def count(self) -> int:
        """How many pictures are taken."""
        return len(self._taken)

    @property
    def is_complete(self) -> bool:
        """Whether no more pictures are needed."""
        return self.count >= self.choice.poses or (self.count >= LEAST_POSES and self.expected_std <= self.enough_std)

    def judge(self, stamp_ns: int, joints: JointSamples, camera: Camera) -> Refusal | None:
        """Takes the picture of ``stamp_ns``, or says why not; ``joints`` reach from before to after it."""
        name, stamps = f"pose {self.count}", np.array([stamp_ns], np.int64)
        try:
            speed = float(joint_speeds(joints, self.robot, stamps)[0])
        except RejectedEpisodeError as error:
            return Refusal(name, _JOINTLESS, str(error))
        if speed > self.choice.most_speed:
            return self.choice.moving(name, speed)
        T_parent_link = postures(joints, self.robot, self.parent_link, stamps)[0]
        if self._taken:
            distances = posture_distance(np.stack(self._taken), T_parent_link)
            if distances.min() < self.choice.travel:
                detail = f"{distances.min():.3f} m from pose {distances.argmin()}, {self.choice.travel:g} m are needed"
                return Refusal(name, ALIKE, detail)
        image = Renderer(self.robot.surface, camera).render(self.T_guess @ T_parent_link)
        least = PoseSetLimits().robot_share
        if image.mask.mean() < least:
            return Refusal(name, _UNSEEN, f"it covers {image.mask.mean():.2%} of the picture, {least:.2%} are needed")
        self._taken.append(T_parent_link)
        self._contours.append(robot_contour(image, MOST_POINTS))
        self.expected_std = expected_position_std(self._contours, camera, self.T_guess)
        return None
