"""A scripted pick and place that sees where things are, well or badly, and looks whether it holds them."""

import re

import numpy as np
from numpy.typing import NDArray

from k4d_kinematics import Camera, ConfiguredRobot, Renderer
from k4d_simulation.layout import TARGET_RADIUS
from k4d_simulation.objects import COLOURS
from k4d_world_model.errors import PolicyError
from k4d_world_model.policy_evaluation.policy import ActionChunk, Briefing, Observation
from k4d_world_model.policy_evaluation.table_view import TableView, find_disc, find_thing, is_near, view_observation
from k4d_world_model.policy_evaluation.tool_script import ToolScript

Array = NDArray[np.float64]

_FAST, _SLOW = 0.4, 0.2  # m/s
_CARRY_HEIGHT, _ABOVE = 0.17, 0.06  # above the table, and above all that is seen on it
_HAND = 0.06  # how far from the tool what it holds is looked for
_TASK = re.compile(r"picks up the (\w+) \w+ and puts it on the (\w+) disc")


class ScriptedPolicy:
    """Picks up what the task names and puts it on the disc that it names; a grasp that failed is tried again.

    It finds things by their colours in the picture and their places in the points, like a simple perception. What it
    believes of a place is off by a normal error of ``noise`` metres along x and y, drawn at each look.
    """

    privileged = False

    def __init__(self, robot: ConfiguredRobot, *, noise: float = 0.0, attempts: int = 2) -> None:
        """Raises PolicyError for a noise that is not a number from 0 on, or less than one attempt."""
        if not (np.isfinite(noise) and noise >= 0.0):
            raise PolicyError(f"noise must be a number of metres from 0 on, got {noise}")
        if attempts < 1:
            raise PolicyError(f"attempts must be at least 1, got {attempts}")
        self.name = f"scripted_{1e3 * noise:g}mm"
        self._robot, self._noise, self._attempts = robot, noise, attempts
        self._renderer: tuple[Camera, Renderer] | None = None

    def reset(self, briefing: Briefing) -> None:
        """See ``Policy``. Raises PolicyError for a task that it does not know how to do."""
        told = _TASK.search(briefing.task)
        if told is None or not set(told.groups()) <= set(COLOURS):
            raise PolicyError(
                f"the task must read '... picks up the COLOUR SHAPE and puts it on the COLOUR disc' with colours "
                f"{', '.join(COLOURS)}, got {briefing.task!r}"
            )
        self._colour, self._disc_colour = (np.array(COLOURS[name]) for name in told.groups())
        self._generator = np.random.default_rng(briefing.seed)
        self._left = self._attempts
        self._target: Array | None = None
        self._next = self._grasp

    def act(self, observation: Observation) -> ActionChunk:
        """See ``Policy``."""
        view = view_observation(observation, self._renderer_of(observation.camera), self._robot.robot)
        return self._next(observation, view)

    def _grasp(self, observation: Observation, view: TableView) -> ActionChunk:
        thing, disc = find_thing(view, self._colour), find_disc(view, self._disc_colour, TARGET_RADIUS)
        if self._target is None and disc is not None:
            self._target = self._believed(disc)
        if thing is None or self._target is None or not self._left:
            return self._give_up(observation)
        self._left -= 1
        script = ToolScript(self._robot, observation)
        place, high = self._believed(thing.centre[:2]), self._high(view, thing.height)
        self._grasp_height = view.table + (thing.centre[2] + thing.height / 2 - view.table) / 2
        script.move(np.array([*script.place[:2], max(script.place[2], high)]), speed=_FAST, open=1.0)
        script.move(np.array([*place, high]), speed=_FAST, open=1.0)
        script.move(np.array([*place, self._grasp_height]), speed=_SLOW, open=1.0)
        script.hold(0.15, open=1.0)
        script.hold(0.4, open=0.0)
        script.move(np.array([*place, high]), speed=_SLOW, open=0.0)
        self._next = self._place
        return script.chunk()

    def _place(self, observation: Observation, view: TableView) -> ActionChunk:
        script = ToolScript(self._robot, observation)
        if not is_near(view, self._colour, script.place, _HAND):
            return self._grasp(observation, view)
        assert self._target is not None
        above, below = (np.array([*self._target, height]) for height in (script.place[2], self._grasp_height + 0.006))
        script.move(above, speed=_FAST, open=0.0)
        script.move(below, speed=_SLOW, open=0.0)
        script.hold(0.15, open=0.0)
        script.hold(0.3, open=1.0)
        script.move(above, speed=_FAST, open=1.0)
        script.hold(0.1, open=1.0)
        return script.chunk(done=True)

    def _give_up(self, observation: Observation) -> ActionChunk:
        """To stay and say that nothing is left to do."""
        script = ToolScript(self._robot, observation)
        script.hold(0.2, open=1.0)
        return script.chunk(done=True)

    def _believed(self, xy: Array) -> Array:
        return xy + self._generator.normal(0.0, 1.0, 2) * self._noise

    def _high(self, view: TableView, height: float) -> float:
        """How high a thing is carried over all that stands on the table."""
        with np.errstate(invalid="ignore"):
            seen = view.heights[view.in_reach]
        tallest = float(np.percentile(seen, 99.8)) if len(seen) else 0.0
        return view.table + max(_CARRY_HEIGHT, min(tallest, 2 * _CARRY_HEIGHT) + height / 2 + _ABOVE)

    def _renderer_of(self, camera: Camera) -> Renderer:
        if self._renderer is None or self._renderer[0] is not camera:
            self._renderer = camera, Renderer(self._robot.surface, camera)
        return self._renderer[1]
