"""The page: a scene, its controls, and a clock that plays it."""

import math
import threading
import time
from collections.abc import Callable
from typing import Any, get_args

import viser
from einops import repeat

from k4d_kinematics.pictures import Picture, side_by_side
from k4d_world_model.playback_clock import PlaybackClock
from k4d_world_model.viewer.contents import Contents
from k4d_world_model.viewer.scene import Scene, Shown

RATES = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0)

_TICK = 1 / 30  # seconds
_PANEL_WIDTH_PX = 400


class Page:
    """Serves the page until ``close``. Other viewers of the same page see and move the same moment."""

    def __init__(self, contents: Contents, *, host: str, port: int) -> None:
        """Starts serving at ``host`` and ``port``, or at the next free port after it."""
        self._contents = contents
        self._lock = threading.RLock()
        self._index = 0
        self._clock = PlaybackClock(contents.times.tolist(), rate=1.0, is_looping=True)
        self.server = viser.ViserServer(host=host, port=port, label="k4d", verbose=False)
        # Sharing would open a tunnel to a server on the internet.
        self.server.gui.configure_theme(show_logo=False, show_share_button=False, control_width="large")
        self.server.gui.main_panel.dock_right()
        self._scene = Scene(self.server, contents)
        self._add_controls()
        self.show(0)
        self._is_closing = threading.Event()
        self._player = threading.Thread(target=self._play, daemon=True)
        self._player.start()

    @property
    def port(self) -> int:
        """Where it is served."""
        return self.server.get_port()

    @property
    def index(self) -> int:
        """The frame that is shown."""
        return self._index

    @property
    def is_playing(self) -> bool:
        """Whether frames follow each other by themselves."""
        return self._clock.is_running

    def show(self, index: int) -> None:
        """Shows frame ``index``; playback goes on from there."""
        with self._lock:
            self._seek(index)
            self._slider.value = index

    def play(self) -> None:
        """Goes on from here, again and again."""
        with self._lock:
            self._clock.resume(time.monotonic_ns())
            self._button.label, self._button.icon = "Pause", viser.Icon.PLAYER_PAUSE

    def pause(self) -> None:
        """Holds the frame that is shown."""
        with self._lock:
            self._clock.pause(time.monotonic_ns())
            self._button.label, self._button.icon = "Play", viser.Icon.PLAYER_PLAY

    def choose(self, shown: Shown) -> None:
        """Shows the predicted future, the recorded one, or both side by side."""
        self._shown.value = shown

    def display(self, *, robot: bool, camera: bool) -> None:
        """Shows or hides robot and camera."""
        self._robot.value, self._camera.value = robot, camera

    def close(self) -> None:
        """Ends serving."""
        self._is_closing.set()
        self._player.join()
        self.server.stop()

    def _add_controls(self) -> None:
        gui, contents, scene = self.server.gui, self._contents, self._scene
        count = len(contents.times)
        self._picture = gui.add_image(contents.predicted.pictures[0], format="jpeg")
        self._moment = gui.add_markdown("")
        # Any: viser declares values that can be set in a way that type checkers take for read-only.
        self._slider: Any = gui.add_slider("Frame", 0, max(1, count - 1), 1, 0, disabled=count == 1)
        self._button = gui.add_button("Play", icon=viser.Icon.PLAYER_PLAY, disabled=count == 1)
        self._rate = gui.add_dropdown("Rate", [f"{rate:g} ×" for rate in RATES], initial_value="1 ×")
        options = get_args(Shown) if contents.recorded is not None else ("predicted",)
        self._shown: Any = gui.add_dropdown("Future", options, disabled=len(options) == 1)
        width = math.ceil(scene.width)
        self._apart = gui.add_slider("Apart (m)", 0.0, 2.0 * width, 0.05, 0.5 * width)
        self._apart.visible = False
        with gui.add_folder("Display", expand_by_default=False):
            size_mm = 1000 * contents.point_size
            size = gui.add_slider("Point (mm)", 0.1 * size_mm, 3 * size_mm, 0.1 * size_mm, size_mm)
            self._robot: Any = gui.add_checkbox("Robot", True, disabled=contents.robot is None)
            self._camera: Any = gui.add_checkbox("Camera", True)
        gui.add_markdown("\n\n".join(f"**{name}** {value}" for name, value in contents.facts))

        self._slider.on_update(self._on(self._follow_slider))
        self._button.on_click(self._on(lambda: self.pause() if self.is_playing else self.play()))
        self._rate.on_update(self._on(self._set_rate))
        self._shown.on_update(self._on(lambda: self._draw(self._index)))
        self._apart.on_update(self._on(lambda: self._draw(self._index)))
        size.on_update(self._on(lambda: scene.set_point_size(size.value / 1000)))
        for box in (self._robot, self._camera):
            box.on_update(self._on(lambda: scene.set_visible(robot=self._robot.value, camera=self._camera.value)))

    def _on(self, react: Callable[[], object]) -> Callable[[Any], None]:
        """What viser calls, from threads of its own, when a control changes."""

        def locked(_: Any) -> None:
            with self._lock:
                react()

        return locked

    def _seek(self, index: int) -> None:
        self._clock.seek(float(self._contents.times[index] - self._contents.times[0]), time.monotonic_ns())
        self._draw(index)

    def _follow_slider(self) -> None:
        # The slider itself is left alone: it may be further already than where it called from.
        if self._slider.value != self._index:
            self._seek(self._slider.value)

    def _set_rate(self) -> None:
        self._clock.set_rate(float(self._rate.value.split()[0]), time.monotonic_ns())

    def _draw(self, index: int) -> None:
        shown = self._shown.value
        self._index = index
        with self.server.atomic():
            self._scene.show(index, shown, self._apart.value)
            self._picture.image = _enlarged(side_by_side(self._scene.pictures(index, shown)))
            self._picture.label = {"both": "predicted | recorded"}.get(shown, shown)
            self._apart.visible = shown == "both"
            times = self._contents.times
            self._moment.content = f"**{times[index]:.2f} s** of {times[-1]:.2f} s after the observation"

    def _play(self) -> None:
        while not self._is_closing.wait(_TICK):
            with self._lock:
                due = self._clock.due(time.monotonic_ns())
                if due and self._clock.is_running:
                    self._draw(due[-1][0])
                    self._slider.value = self._index


def _enlarged(picture: Picture) -> Picture:
    """The picture by a whole factor at least as wide as the panel, which shrinks it to its own width."""
    factor = -(-_PANEL_WIDTH_PX // picture.shape[1])
    return repeat(picture, "h w c -> (h f) (w g) c", f=factor, g=factor)
