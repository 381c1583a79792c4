"""Named errors of bag replay, recording and the demonstration."""


class BringupError(ValueError):
    """Base of everything that k4d_bringup raises on wrong input."""


class BagError(BringupError):
    """A bag is missing, unreadable, empty or holds a type that is not installed."""


class DemoError(BringupError):
    """The demonstration's graph failed, dropped messages, or its folder cannot be made."""


class HealthError(BringupError):
    """The running graph is silent, lacks a node or has a condition that is an error."""
