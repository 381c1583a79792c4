"""The embedded ROS 2 home: what every Python process of an environment without a ROS installation needs to be set.

The set-up writes one line into `k4d_embedded.pth` of the environment's site-packages, which runs at every start:
`import k4d_embedded.home; k4d_embedded.home.activate()`.
"""

import os
import sys
import warnings

from k4d_embedded import finder

_PROFILE = ("share", "k4d_bringup", "config", "dds", "fastdds_shared_memory.xml")
_PROFILE_VARIABLES = {3: "FASTDDS_DEFAULT_PROFILES_FILE", 2: "FASTRTPS_DEFAULT_PROFILES_FILE"}  # by Fast DDS version


class EmbeddedHomeWarning(UserWarning):
    """A part of the embedded home is missing, and ROS runs without it."""


def activate() -> None:
    """Set the environment of ROS processes and serve the stand-ins; values that the user has set are kept.

    * AMENT_PREFIX_PATH begins with the environment's prefix, unless it holds it already.
    * Fast DDS reads the shared-memory profile of config/dds, through the variable that the installed version reads.
      Where that file is missing an `EmbeddedHomeWarning` says so: big messages then get lost under load.
    * Discovery stays on this machine.
    """
    prefixes = [prefix for prefix in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if prefix]
    if sys.prefix not in prefixes:
        os.environ["AMENT_PREFIX_PATH"] = os.pathsep.join([sys.prefix, *prefixes])
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    _set_profile()
    finder.install()


def _set_profile() -> None:
    if any(name in os.environ for name in _PROFILE_VARIABLES.values()):
        return
    # One variable only: Fast DDS 3 reads both, and refuses a profile that it meets twice.
    version = 2 if os.path.isdir(os.path.join(sys.prefix, "share", "fastrtps")) else 3
    profile = os.path.join(sys.prefix, *_PROFILE)
    if os.path.isfile(profile):
        os.environ[_PROFILE_VARIABLES[version]] = profile
        return
    message = (
        f"Fast DDS runs without its shared-memory profile, so big messages get lost under load: {profile} is missing. "
        f"Link the checkout's config to {os.path.join(sys.prefix, *_PROFILE[:3])} or set {_PROFILE_VARIABLES[version]}."
    )
    warnings.warn(message, EmbeddedHomeWarning, stacklevel=2)
