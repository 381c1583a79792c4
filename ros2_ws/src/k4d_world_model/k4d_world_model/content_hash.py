"""Settings and lists known by their hash."""

import hashlib
import json


def content_hash(content: object) -> str:
    """The sha256 of something as JSON with sorted keys."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
