"""Open3D, imported only where an alignment is asked for: it is no part of the pointmap stream's installation."""

from types import ModuleType

from k4d_kinematics.errors import AlignmentError


def load_open3d() -> ModuleType:
    """The module open3d. Raises AlignmentError saying how to install it where it is absent."""
    try:
        import open3d
    except ImportError as error:
        raise AlignmentError(
            "aligning a reconstruction needs open3d, which cannot be imported: pip install open3d "
            f"(requirements/alignment.txt has the version that is tested); {error}"
        ) from error
    return open3d
