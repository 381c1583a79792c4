"""What to take from rosbag2 recordings: topics, frames and tolerances."""

from dataclasses import dataclass

from k4d_world_model.errors import DatasetError


@dataclass(frozen=True)
class RosbagConfig:
    """The topics of one kind of recording, and how they are put together. An empty topic is not looked for.

    ``name`` becomes the episodes' source. ``image_topic`` (sensor_msgs/Image in rgb8, bgr8, rgba8, bgra8 or mono8, or
    CompressedImage in JPEG or PNG) sets the frames; ``camera_info_topic`` calibrates them. ``depth_topic`` (32FC1 in
    metres or 16UC1 in millimetres, also compressed as image_transport does) is a depth image aligned with the image;
    of it, the one nearest in time is taken, at most ``max_depth_age`` seconds away. ``joint_topic`` carries
    sensor_msgs/JointState, interpolated where two samples lie at most ``max_joint_gap`` seconds apart. Of
    ``success_topic`` (std_msgs/Bool), ``seed_topic`` (UInt64 or Int64), ``task_topic`` and ``caption_topic`` (String)
    the last message stands; a recording without one of these four says nothing of it.

    ``robot`` is a robot YAML as in config/robots, relative to this file. ``world_frame`` and ``base_frame`` (the
    robot's root link) are looked up in /tf and /tf_static at the images' stamps; so is ``camera_frame``, which the
    camera_info names where it is empty. ``image_is_rectified`` says that the pictures are image_rect already, though
    the camera_info states a lens.

    Images that have no joints, transforms or depth at their stamp are left out; a recording of which less than
    ``min_covered`` remains is rejected. Raises DatasetError on values that do not fit each other.
    """

    name: str
    image_topic: str
    camera_info_topic: str = ""
    depth_topic: str = ""
    joint_topic: str = ""
    success_topic: str = ""
    seed_topic: str = ""
    task_topic: str = ""
    caption_topic: str = ""
    robot: str = ""
    world_frame: str = ""
    base_frame: str = ""
    camera_frame: str = ""
    image_is_rectified: bool = False
    max_depth_age: float = 0.02
    max_joint_gap: float = 0.5
    min_covered: float = 0.5

    def __post_init__(self) -> None:
        for key in ("name", "image_topic"):
            if not getattr(self, key):
                raise DatasetError(f"{key} must not be empty")
        for key in ("max_depth_age", "max_joint_gap"):
            if not 0.0 <= getattr(self, key) < float("inf"):
                raise DatasetError(f"{key} must be a number of seconds >= 0, got {getattr(self, key)}")
        if not 0.0 < self.min_covered <= 1.0:
            raise DatasetError(f"min_covered must be in (0, 1], got {self.min_covered}")
        self._check_needs()
        topics = [topic for topic in self.topics if topic]
        if len(set(topics)) < len(topics):
            raise DatasetError(f"each topic may be named once, got {topics}")

    def _check_needs(self) -> None:
        needs = (
            ("depth_topic", "camera_info_topic"),
            ("image_is_rectified", "camera_info_topic"),
            ("world_frame", "camera_info_topic"),
            ("base_frame", "world_frame"),
            ("robot", "base_frame"),
            ("robot", "joint_topic"),
        )
        for key, needed in needs:
            if getattr(self, key) and not getattr(self, needed):
                raise DatasetError(f"{key} {getattr(self, key)!r} needs {needed}, which is empty")

    @property
    def topics(self) -> tuple[str, ...]:
        """All topics, empty ones included."""
        return (self.image_topic, self.camera_info_topic, self.depth_topic, self.joint_topic, *self.label_topics)

    @property
    def label_topics(self) -> tuple[str, ...]:
        """The topics that say something of a whole recording, which it may lack."""
        labels = (self.success_topic, self.seed_topic, self.task_topic, self.caption_topic)
        return tuple(topic for topic in labels if topic)
