"""Our one-message tf2_msgs is the upstream type on the wire."""

import json
import sys
from pathlib import Path


def test_the_type_hash_is_the_upstream_one():
    description = json.loads((Path(sys.prefix) / "share/tf2_msgs/msg/TFMessage.json").read_text())
    hashes = {entry["type_name"]: entry["hash_string"] for entry in description["type_hashes"]}
    assert hashes["tf2_msgs/msg/TFMessage"].startswith("RIHS01_e369d0f0")
