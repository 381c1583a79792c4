"""The three-dimensional part of the page: clouds, robot and camera in the robot's base frame, z up."""

from typing import Literal

import numpy as np
import viser
from numpy.typing import NDArray

from k4d_kinematics import se3
from k4d_world_model.viewer.clouds import CloudVideo
from k4d_world_model.viewer.contents import Contents

Shown = Literal["predicted", "recorded", "both"]

_FRUSTUM_SIZE, _FRUSTUM_LINE = 0.1, 0.004
_CAMERA_COLOUR = (40, 110, 200)
# How far the first view stands back from what the camera sees, and aside, so that depth shows.
_VIEW_BACK, _VIEW_ASIDE, _VIEW_UP = 1.1, 0.3, 0.2


class Scene:
    """What a viser server shows of one frame at a time."""

    def __init__(self, server: viser.ViserServer, contents: Contents) -> None:
        self._server, self._contents = server, contents
        scene = server.scene
        scene.set_up_direction("+z")
        scene.configure_environment_map(hdri=None)
        # Everything of the predicted future moves aside together when the recorded one is shown beside it.
        self._group = scene.add_frame("/predicted", show_axes=False)
        self._predicted = self._add_cloud("/predicted/cloud", contents.predicted)
        self._recorded = None if contents.recorded is None else self._add_cloud("/recorded", contents.recorded)
        self._camera = scene.add_camera_frustum(
            "/predicted/camera", contents.vertical_fov, contents.aspect, scale=_FRUSTUM_SIZE, color=_CAMERA_COLOUR,
            thickness=_FRUSTUM_LINE, image=contents.predicted.pictures[0], cast_shadow=False, receive_shadow=False,
        )  # fmt: skip
        self._robot = self._add_robot()
        self.look_from_camera()

    @property
    def width(self) -> float:
        """Metres that the scene is wide as the camera sees it."""
        low, high = self._contents.predicted.bounds
        return float(np.abs(self._contents.T_base_cam[0, :3, 0]) @ (high - low))

    def show(self, index: int, shown: Shown, apart: float) -> None:
        """Shows frame ``index`` of the predicted or the recorded future, or the recorded one right of the predicted.

        Right is the camera's own right, ``apart`` metres; robot and camera stay with the predicted future.
        """
        contents, pictures = self._contents, self.pictures(index, shown)
        aside = 0.5 * (apart if shown == "both" else 0.0) * contents.T_base_cam[0, :3, 0]
        with self._server.atomic():
            self._group.position = tuple((-aside).tolist())
            _set_cloud(self._predicted, contents.predicted, index, visible=shown != "recorded")
            if self._recorded is not None and contents.recorded is not None:
                _set_cloud(self._recorded, contents.recorded, index, visible=shown != "predicted")
                self._recorded.position = tuple(aside.tolist())
            _place(self._camera, contents.T_base_cam[index])
            self._camera.image = pictures[0]
            if contents.robot is not None:
                for mesh, T_base_link in zip(self._robot, contents.robot.T_base_link[index], strict=True):
                    _place(mesh, T_base_link)

    def pictures(self, index: int, shown: Shown) -> list[NDArray[np.uint8]]:
        """The pictures (H, W, 3) that belong to a frame: of the predicted future, the recorded one, or both."""
        contents = self._contents
        chosen = [] if shown == "recorded" else [contents.predicted]
        if shown != "predicted" and contents.recorded is not None:
            chosen.append(contents.recorded)
        return [video.pictures[index] for video in chosen]

    def set_point_size(self, size: float) -> None:
        """Draws points ``size`` metres large."""
        for cloud in filter(None, (self._predicted, self._recorded)):
            cloud.point_size = size

    def set_visible(self, *, robot: bool, camera: bool) -> None:
        """Shows or hides the robot and the camera."""
        self._camera.visible = camera
        for mesh in self._robot:
            mesh.visible = robot

    def look_from_camera(self) -> None:
        """Lets new viewers look from a little behind and beside the camera at the middle of what it sees."""
        low, high = self._contents.predicted.bounds
        T_base_cam, middle = self._contents.T_base_cam[0], (low + high) / 2
        away = T_base_cam[:3, 3] - middle
        distance = float(np.linalg.norm(away))
        position = middle + _VIEW_BACK * away + _VIEW_ASIDE * distance * T_base_cam[:3, 0]
        position[2] += _VIEW_UP * distance
        view = self._server.initial_camera
        view.look_at, view.position, view.up = middle, position, (0.0, 0.0, 1.0)

    def _add_cloud(self, name: str, video: CloudVideo) -> viser.PointCloudHandle:
        return self._server.scene.add_point_cloud(
            name, video.points_base[0], video.colours[0], point_size=self._contents.point_size, precision="float32",
            point_shape="square", point_shading="flat",
        )  # fmt: skip

    def _add_robot(self) -> list[viser.GlbHandle]:
        robot = self._contents.robot
        if robot is None:
            return []
        return [
            self._server.scene.add_mesh_trimesh(
                f"/predicted/robot/{name}", mesh, cast_shadow=False, receive_shadow=False
            )
            for name, mesh in zip(robot.link_names, robot.meshes, strict=True)
        ]


def _set_cloud(cloud: viser.PointCloudHandle, video: CloudVideo, index: int, *, visible: bool) -> None:
    cloud.points, cloud.colors, cloud.visible = video.points_base[index], video.colours[index], visible


def _place(node: viser.SceneNodeHandle, T_base_node: se3.Array) -> None:
    position, xyzw = se3.to_xyzw(T_base_node)
    node.position, node.wxyz = tuple(position.tolist()), tuple(np.roll(xyzw, 1).tolist())
