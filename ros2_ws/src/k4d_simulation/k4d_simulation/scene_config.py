"""What a tabletop scene may look like: the ranges that every seed draws from. Metres, radians."""

from dataclasses import dataclass, fields

from k4d_simulation.errors import SceneError

Range = tuple[float, float]

# More objects than this find no room around one workspace.
MOST_DISTRACTORS = 8


@dataclass(frozen=True)
class SceneConfig:
    """The ranges of one difficulty. Pairs are (smallest, largest); each seed draws uniformly between them.

    name: what the preset is called in reports.
    distractors: how many objects besides the task's own.
    distractor_radius: their footprint's radius, seen from above.
    distractor_height: their height; occluders are as high as it takes.
    distractor_distance: from the task object's centre, or the reach target's foot, to a distractor's centre.
    object_gap: free space around the task object and its target's centre, wide enough for the gripper's fingers.
    path_clearance: free space on either side of the way that the object, or the tool, takes along the table.
    gates: pairs of distractors that stand right at the clearance on both sides of that way: a narrow passage.
    occluders: distractors that stand between the camera and the object and hide part of it.
    object_yaw: largest turn of the task object from the gripper's own direction.
    camera_distance, camera_azimuth, camera_elevation: where the camera stands, seen from the middle of the workspace;
        azimuth 0 looks the robot in the face.
    camera_fovy: the camera's vertical field of view.

    Raises SceneError where a range is empty, negative or contradicts the number of distractors.
    """

    name: str
    distractors: tuple[int, int]
    distractor_radius: Range = (0.02, 0.05)
    distractor_height: Range = (0.025, 0.05)
    distractor_distance: Range = (0.08, 0.4)
    object_gap: float = 0.04
    path_clearance: float = 0.04
    gates: int = 0
    occluders: int = 0
    object_yaw: float = 0.7
    camera_distance: Range = (1.1, 1.4)
    camera_azimuth: Range = (-0.45, 0.45)
    camera_elevation: Range = (0.45, 0.75)
    camera_fovy: Range = (0.72, 0.86)

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, tuple) and not value[0] <= value[1]:
                raise SceneError(f"{field.name} must be (smallest, largest), got {value}")
        for name in ("distractor_radius", "distractor_height", "camera_distance", "camera_fovy"):
            if getattr(self, name)[0] <= 0:
                raise SceneError(f"{name} must be above 0, got {getattr(self, name)}")
        for name in ("object_gap", "path_clearance", "gates", "occluders", "object_yaw"):
            if getattr(self, name) < 0:
                raise SceneError(f"{name} must be at least 0, got {getattr(self, name)}")
        if self.distractors[0] < 0 or self.distractors[1] > MOST_DISTRACTORS:
            raise SceneError(f"distractors must be within 0..{MOST_DISTRACTORS}, got {self.distractors}")
        if 2 * self.gates + self.occluders > self.distractors[0]:
            raise SceneError(
                f"{self.gates} gates of two and {self.occluders} occluders need {2 * self.gates + self.occluders} "
                f"distractors, got as few as {self.distractors[0]}"
            )
