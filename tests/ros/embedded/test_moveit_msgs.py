"""Our part of moveit_msgs is the upstream types on the wire."""

import json
import sys
from pathlib import Path


def test_the_type_hash_is_the_upstream_one():
    description = json.loads((Path(sys.prefix) / "share/moveit_msgs/msg/DisplayTrajectory.json").read_text())
    hashes = {entry["type_name"]: entry["hash_string"] for entry in description["type_hashes"]}
    # Of moveit_msgs 2.6.0; it covers the types of all fields, too.
    assert hashes["moveit_msgs/msg/DisplayTrajectory"].startswith("RIHS01_dd351cbd6d9986eb")
