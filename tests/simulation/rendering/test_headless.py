"""OpenGL without a display: which platform is taken, and what is said where there is none."""

import importlib
import os
import subprocess
import sys

import pytest

from k4d_simulation import headless
from k4d_simulation.errors import RenderingError

NO_EGL_DRIVER = {"__EGL_VENDOR_LIBRARY_FILENAMES": os.devnull}
DRAW = """
import os
import mujoco
from k4d_simulation.headless import open_gl_context
gl = open_gl_context(23, 17)
gl.make_current()
context = mujoco.MjrContext(mujoco.MjModel.from_xml_string("<mujoco/>"), mujoco.mjtFontScale.mjFONTSCALE_50)
context.free()
gl.free()
print(os.environ["MUJOCO_GL"], os.environ["LP_NUM_THREADS"])
"""


def run(script, **environment):
    """Output of a new process whose environment names no OpenGL platform unless asked to."""
    clean = {key: value for key, value in os.environ.items() if key not in ("MUJOCO_GL", "PYOPENGL_PLATFORM")}
    clean.pop("LP_NUM_THREADS", None)
    done = subprocess.run(
        [sys.executable, "-c", script], env={**clean, **environment}, capture_output=True, text=True, timeout=240
    )
    return done.stdout.split(), done.stderr


@pytest.mark.parametrize(
    ("environment", "platform"),
    [({}, "egl"), (NO_EGL_DRIVER, "osmesa"), ({"MUJOCO_GL": "osmesa"}, "osmesa")],
    ids=["egl first", "else osmesa", "osmesa when asked"],
)
def test_a_platform_that_draws_is_chosen(environment, platform):
    assert run(DRAW, **environment)[0] == [platform, "1"]


def test_the_number_of_drawing_threads_can_be_set():
    assert run(DRAW, LP_NUM_THREADS="2")[0] == ["egl", "2"]


def test_a_platform_that_is_asked_for_is_not_replaced():
    printed, complaint = run(DRAW, MUJOCO_GL="egl", **NO_EGL_DRIVER)
    assert printed == []
    assert "RenderingError: no OpenGL without a display (egl:" in complaint
    assert "osmesa:" not in complaint


def test_without_any_platform_the_message_says_what_to_install(monkeypatch):
    def no_module(name):
        raise ImportError(f"no {name} here")

    monkeypatch.delenv("MUJOCO_GL", raising=False)
    monkeypatch.setattr(importlib, "import_module", no_module)
    with pytest.raises(RenderingError, match=r"apt-get install libegl1 libgl1 libosmesa6") as raised:
        headless.open_gl_context(23, 17)
    assert "no mujoco.egl here" in str(raised.value)
    assert "no mujoco.osmesa here" in str(raised.value)


def test_a_platform_that_needs_a_display_is_refused(monkeypatch):
    monkeypatch.setenv("MUJOCO_GL", "glfw")
    with pytest.raises(RenderingError, match=r"one of egl, osmesa here, got 'glfw'"):
        headless.open_gl_context(23, 17)


def test_importing_the_package_loads_no_opengl():
    script = "import sys, k4d_simulation.rendering; print('OpenGL' in sys.modules, 'mujoco.egl' in sys.modules)"
    assert run(script)[0] == ["False", "False"]
