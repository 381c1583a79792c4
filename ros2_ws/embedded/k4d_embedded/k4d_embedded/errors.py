"""Named errors of the embedded home: one per cause, each message states the offending and the valid values."""


class EmbeddedError(ValueError):
    """Base of everything that the launcher and the robot state publisher raise on wrong input."""


class LaunchFileError(EmbeddedError):
    """A launch file is missing, malformed, or holds a tag or an attribute that is not known."""


class SubstitutionError(EmbeddedError):
    """A substitution of a launch file is malformed or cannot be carried out."""


class LaunchArgumentError(EmbeddedError):
    """A launch argument is missing, malformed or not declared."""


class PackageError(EmbeddedError):
    """A package or an executable of it is not installed."""


class JointStateError(EmbeddedError):
    """A joint state's names and positions do not fit each other or are not finite."""
