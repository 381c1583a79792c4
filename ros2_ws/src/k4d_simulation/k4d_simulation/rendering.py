"""Pictures, depth and segmentation of a simulated scene, drawn by MuJoCo without a display."""

from dataclasses import dataclass
from types import TracebackType
from typing import Any

import mujoco
import numpy as np
from numpy.typing import ArrayLike, NDArray

from k4d_kinematics import Camera
from k4d_simulation.errors import RenderingError
from k4d_simulation.headless import open_gl_context
from k4d_simulation.scene import CAMERA_NAME, Scene

SAMPLES = (0, 2, 4, 8, 16)

_LARGEST_SIDE_PX = 4096
_WORLD_GROUP, _ROBOT_GROUP = 1, 2
# Half the side (m) of what one shadow map covers, so wide that its rim, where shadows break up, lies out of sight.
_SHADOWED_RADIUS = 3.0


@dataclass(frozen=True)
class RenderingSettings:
    """How pictures are drawn; depth and segmentation do not depend on it.

    ``shadows``: whether the lights that can cast shadows do, at ``shadow_map_px`` texels a side.
    ``samples``: colours per pixel that smooth edges, one of SAMPLES; 0 draws them hard.

    Raises RenderingError on values out of range.
    """

    shadows: bool = True
    samples: int = 4
    shadow_map_px: int = 2048

    def __post_init__(self) -> None:
        if self.samples not in SAMPLES:
            raise RenderingError(f"samples must be one of {', '.join(map(str, SAMPLES))}, got {self.samples}")
        if not 64 <= self.shadow_map_px <= 8192:
            raise RenderingError(f"shadow_map_px must be from 64 to 8192, got {self.shadow_map_px}")


@dataclass(frozen=True, eq=False)
class SceneImage:
    """What the scene's camera sees.

    rgb: (H, W, 3) uint8.
    depth: (H, W) float32 metres along the optical axis, NaN where nothing is drawn.
    geom_ids: (H, W) int32 index of the model's geom, -1 where nothing is drawn.
    robot_mask: (H, W) bool, where the robot is seen.
    """

    rgb: NDArray[np.uint8]
    depth: NDArray[np.float32]
    geom_ids: NDArray[np.int32]
    robot_mask: NDArray[np.bool_]


class SceneRenderer:
    """Draws one scene for states of its simulator; a context manager that owns its OpenGL context.

    Use it in the thread that made it. It writes the picture's size and quality into ``scene.model.vis``. Raises
    RenderingError for unusable sizes, where OpenGL cannot draw with the asked samples, and as ``open_gl_context`` does.
    """

    def __init__(self, scene: Scene, height: int, width: int, settings: RenderingSettings | None = None) -> None:
        if not (1 <= height <= _LARGEST_SIDE_PX and 1 <= width <= _LARGEST_SIDE_PX):
            raise RenderingError(f"height and width must be from 1 to {_LARGEST_SIDE_PX} px, got {height} x {width}")
        self.scene = scene
        self.camera: Camera = scene.camera(height, width)
        self.settings = settings or RenderingSettings()
        self._data = mujoco.MjData(scene.model)
        self._drawn = mujoco.MjvScene(scene.model, scene.model.ngeom + scene.model.nlight + 16)
        # Sheets of a robot that enclose nothing are seen from behind too.
        self._drawn.flags[mujoco.mjtRndFlag.mjRND_CULL_FACE] = False
        self._view = mujoco.MjvCamera()
        self._view.type = mujoco.mjtCamera.mjCAMERA_FIXED
        self._view.fixedcamid = scene.model.camera(CAMERA_NAME).id
        self._area = mujoco.MjrRect(0, 0, width, height)
        self._rays = _rays(self.camera)
        self._context: Any = None
        self._gl = open_gl_context(width, height)
        try:
            self._open_context(height, width)
        except RenderingError:
            self.close()
            raise

    def _open_context(self, height: int, width: int) -> None:
        model, visual = self.scene.model, self.scene.model.vis
        visual.global_.offheight, visual.global_.offwidth = height, width
        visual.quality.offsamples, visual.quality.shadowsize = self.settings.samples, self.settings.shadow_map_px
        visual.map.shadowclip = _SHADOWED_RADIUS / model.stat.extent
        self._gl.make_current()
        self._context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_50)
        if self._context.offSamples != self.settings.samples:
            raise RenderingError(
                f"this OpenGL cannot draw with {self.settings.samples} samples; "
                f"it offers 0 and {self._context.offSamples}"
            )
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._context)
        # A reversed float depth buffer resolves below a micrometre over the whole room.
        self._context.readDepthMap = mujoco.mjtDepthMap.mjDEPTH_ZEROFAR

    def __enter__(self) -> "SceneRenderer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Frees what OpenGL holds; nothing can be drawn afterwards."""
        if self._gl is not None:
            if self._context is not None:
                self._gl.make_current()
                self._context.free()
            self._gl.free()
        self._context = self._gl = None

    def render(self, qpos: ArrayLike) -> SceneImage:
        """The image of the state ``qpos`` (nq,). Raises RenderingError for another shape or after ``close``."""
        self._place(qpos, (_WORLD_GROUP, _ROBOT_GROUP))
        rgb = self._draw_colours()
        depth, geom_ids = self._draw_depth()
        robot = np.append(self.scene.robot_geoms, False)  # -1 is no geom
        return SceneImage(rgb, depth, geom_ids, robot[geom_ids])

    def render_robot(self, qpos: ArrayLike) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Points (H, W, 3) float32 in the optical frame and mask (H, W) of the robot alone, as if nothing hid it.

        Raises RenderingError as ``render`` does.
        """
        self._place(qpos, (_ROBOT_GROUP,))
        depth, geom_ids = self._draw_depth()
        return self.points_cam(depth), geom_ids >= 0

    def points_cam(self, depth: NDArray[np.float32], *, out: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
        """Points (H, W, 3) float32 in the optical frame of a depth image (H, W), NaN where that is, in ``out``."""
        return np.multiply(self._rays, depth[..., None], out=out)

    def _place(self, qpos: ArrayLike, groups: tuple[int, ...]) -> None:
        state = np.asarray(qpos, np.float64)
        if state.shape != self._data.qpos.shape:
            raise RenderingError(f"qpos must be of shape {self._data.qpos.shape}, got {state.shape}")
        if self._context is None:
            raise RenderingError("the renderer is closed")
        model = self.scene.model
        self._data.qpos[:] = state
        mujoco.mj_kinematics(model, self._data)
        mujoco.mj_comPos(model, self._data)
        mujoco.mj_camlight(model, self._data)
        option = _showing(groups)
        mujoco.mjv_updateScene(model, self._data, option, None, self._view, mujoco.mjtCatBit.mjCAT_ALL, self._drawn)
        self._gl.make_current()

    def _draw_colours(self) -> NDArray[np.uint8]:
        flags = self._drawn.flags
        flags[mujoco.mjtRndFlag.mjRND_SHADOW] = self.settings.shadows
        flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = False
        rgb = np.empty((self._area.height, self._area.width, 3), np.uint8)
        mujoco.mjr_render(self._area, self._drawn, self._context)
        mujoco.mjr_readPixels(rgb, None, self._area, self._context)
        return np.ascontiguousarray(rgb[::-1])

    def _draw_depth(self) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """Depth and geom ids (H, W) from one drawing, in which MuJoCo switches smoothing and lights off."""
        flags = self._drawn.flags
        flags[mujoco.mjtRndFlag.mjRND_SEGMENT] = flags[mujoco.mjtRndFlag.mjRND_IDCOLOR] = True
        size = (self._area.height, self._area.width)
        colours, buffer = np.empty((*size, 3), np.uint8), np.empty(size, np.float32)
        mujoco.mjr_render(self._area, self._drawn, self._context)
        mujoco.mjr_readPixels(colours, buffer, self._area, self._context)
        flags[mujoco.mjtRndFlag.mjRND_SEGMENT] = flags[mujoco.mjtRndFlag.mjRND_IDCOLOR] = False
        geom_ids = _geoms_by_colour(self._drawn)[_numbers(colours[::-1])]
        depth = _metres(buffer[::-1], self._drawn.camera[0])
        depth[geom_ids < 0] = np.nan
        return depth, geom_ids


def _showing(groups: tuple[int, ...]) -> Any:
    option = mujoco.MjvOption()
    option.geomgroup[:] = 0
    option.geomgroup[list(groups)] = 1
    option.sitegroup[:] = 0
    return option


def _rays(camera: Camera) -> NDArray[np.float32]:
    """Points (H, W, 3) at a depth of one metre at every pixel's centre."""
    rays = camera.rays()
    return np.concatenate([rays, np.ones((*rays.shape[:2], 1))], axis=-1).astype(np.float32)


def _geoms_by_colour(drawn: Any) -> NDArray[np.int32]:
    """The geom that each colour of a segmented drawing stands for, -1 for all that is no geom of the model."""
    geoms = np.full(drawn.ngeom + 1, -1, np.int32)
    for geom in drawn.geoms[: drawn.ngeom]:
        if geom.segid >= 0 and geom.objtype == mujoco.mjtObj.mjOBJ_GEOM:
            geoms[geom.segid + 1] = geom.objid
    return geoms


def _numbers(colours: NDArray[np.uint8]) -> NDArray[np.int32]:
    """What the bytes (H, W, 3) of a segmented drawing count to, red the lowest."""
    red, green, blue = (colours[..., k].astype(np.int32) for k in range(3))
    return red | green << 8 | blue << 16


def _metres(buffer: NDArray[np.float32], camera: Any) -> NDArray[np.float32]:
    """Depths of a reversed perspective depth buffer (1 at the near plane, 0 at the far one)."""
    near, far = float(camera.frustum_near), float(camera.frustum_far)
    return (near * far / (near + buffer.astype(np.float64) * (far - near))).astype(np.float32)
