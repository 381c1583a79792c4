"""The exceptions of tf2."""


class TransformException(Exception):
    """Base of every failed lookup."""


class ConnectivityException(TransformException):
    """Two frames are not part of the same tree."""


class LookupException(TransformException):
    """A frame does not exist, or the tree has a loop."""


class ExtrapolationException(TransformException):
    """The asked time is before the earliest or after the latest transform of an edge."""


class InvalidArgumentException(TransformException):
    """A frame name is empty or begins with a slash."""


class TimeoutException(TransformException):
    """A wait ended before the transform was known."""
