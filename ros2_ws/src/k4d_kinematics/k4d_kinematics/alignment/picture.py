"""A picture that shows whether a reconstruction was cut well: each link in its own colour, from all sides."""

import colorsys
from dataclasses import replace

import numpy as np

from k4d_kinematics import se3
from k4d_kinematics.camera import Camera
from k4d_kinematics.pictures import Picture, contact_sheet
from k4d_kinematics.rendering import Renderer, RenderSettings
from k4d_kinematics.robot_surface import RobotSurface

_VIEWS = 4
_PIXELS = 360


def draw_links(surfaces: list[RobotSurface], T_base_link: se3.Array) -> Picture:
    """One row per surface and one column per side, links of the same index in the same colour.

    All surfaces have the L links of ``T_base_link`` (L, 4, 4).
    """
    corners = [surface.parts.corners.reshape(3, 3, -1).mean(axis=0).T for surface in surfaces]
    points = np.concatenate(
        [
            np.einsum("nij,nj->ni", T_base_link[s.triangle_link, :3, :3], p) + T_base_link[s.triangle_link, :3, 3]
            for s, p in zip(surfaces, corners, strict=True)
        ]
    )
    center = (points.min(axis=0) + points.max(axis=0)) / 2
    distance = 2.4 * np.linalg.norm(points - center, axis=1).max()
    camera = Camera.pinhole(_PIXELS, _PIXELS, _PIXELS, _PIXELS, (_PIXELS - 1) / 2, (_PIXELS - 1) / 2)
    angles = np.linspace(0.3, 0.3 + 2 * np.pi, _VIEWS, endpoint=False)
    eyes = [center + distance * np.array([0.9 * np.cos(a), 0.9 * np.sin(a), 0.43]) for a in angles]
    rows = []
    for surface in surfaces:
        renderer = Renderer(_color_links(surface), camera, RenderSettings(rgb=True))
        images = [renderer.render(se3.look_at(eye, center) @ T_base_link).rgb for eye in eyes]
        rows.append([image for image in images if image is not None])
    return contact_sheet(rows)


def _color_links(surface: RobotSurface) -> RobotSurface:
    # Neighbours differ most where hues step by the golden ratio.
    hues = [(k * 0.618034) % 1.0 for k in range(len(surface.link_names))]
    palette = np.array([colorsys.hsv_to_rgb(hue, 0.65, 1.0) for hue in hues])
    rgb = np.rint(255.0 * palette[surface.triangle_link]).astype(np.uint8)
    texture = np.full_like(surface.colors.triangle_texture, -1)
    colors = surface.colors._replace(corner_rgb=np.repeat(rgb[:, None], 3, axis=1), triangle_texture=texture)
    return replace(surface, colors=colors)
