"""OpenGL without a display, for MuJoCo: EGL where it works, else OSMesa."""

import importlib
import os
import sys
from typing import Any

from k4d_simulation.errors import RenderingError

PLATFORMS = ("egl", "osmesa")
INSTALL = "apt-get install libegl1 libgl1 libosmesa6"

# How a missing library or driver shows itself: PyOpenGL binds lazily, MuJoCo's own modules raise the others.
_FAILURES = (ImportError, AttributeError, OSError, RuntimeError, TypeError, ValueError)


def open_gl_context(width: int, height: int) -> Any:
    """A MuJoCo GLContext for pictures of up to ``width`` x ``height`` pixels; the caller makes it current and frees it.

    EGL is tried before OSMesa, or only the one that the environment's MUJOCO_GL names. MUJOCO_GL and PYOPENGL_PLATFORM
    are set to what works, because MuJoCo's renderer reads them; unless LP_NUM_THREADS is set, it becomes 1, since one
    process per core renders faster than threads within one picture of Mesa's software renderer. Raises RenderingError
    with the reasons and what to install where none works, or MUJOCO_GL names something that needs a display.
    """
    os.environ.setdefault("LP_NUM_THREADS", "1")
    asked = os.environ.get("MUJOCO_GL", "").strip().lower()
    if asked and asked not in PLATFORMS:
        raise RenderingError(f"MUJOCO_GL must be unset or one of {', '.join(PLATFORMS)} here, got {asked!r}")
    reasons = []
    for platform in (asked,) if asked else PLATFORMS:
        try:
            return _open(platform, width, height)
        except _FAILURES as error:
            reasons.append(f"{platform}: {error}")
            _forget(platform)
    raise RenderingError(f"no OpenGL without a display ({'; '.join(reasons)}). Install it with: {INSTALL}")


def _open(platform: str, width: int, height: int) -> Any:
    os.environ["PYOPENGL_PLATFORM"] = platform
    context = importlib.import_module(f"mujoco.{platform}").GLContext(width, height)
    os.environ["MUJOCO_GL"] = platform
    return context


def _forget(platform: str) -> None:
    """Unloads a binding that failed, because PyOpenGL stays with the platform under which it was first imported."""
    os.environ.pop("PYOPENGL_PLATFORM", None)
    for name in list(sys.modules):
        if name.partition(".")[0] == "OpenGL" or f"{name}.".startswith(f"mujoco.{platform}."):
            del sys.modules[name]
