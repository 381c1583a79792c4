"""Open3D, imported only where an alignment is asked for: it is no part of the pointmap stream's installation."""

from types import ModuleType

from k4d_kinematics.errors import AlignmentError


def load_open3d() -> ModuleType:
    """The module open3d. Raises AlignmentError saying how to install it where it is absent."""
    try:
        import open3d
    except ImportError as error:
        raise AlignmentError(
            "aligning a reconstruction needs open3d, which is not installed: pip install -r requirements/alignment.txt"
        ) from error
    return open3d
