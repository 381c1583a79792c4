"""Named errors of the simulator: one per cause, each message states the offending and the valid values."""


class SimulationError(ValueError):
    """Base of everything that k4d_simulation raises on wrong input."""


class SceneError(SimulationError):
    """A scene cannot be built: an unknown task, a robot that cannot do it, no place left for an object."""


class ExpertError(SimulationError):
    """A scripted expert cannot reach what its task asks for in this scene."""


class RenderingError(SimulationError):
    """No headless OpenGL works here, or a picture of an unusable size was asked for."""


class CommandError(SimulationError):
    """A commanded trajectory does not fit the simulated robot."""
