"""The tree of frames as text, in tf2's formats."""

from collections.abc import Mapping

from .transform_cache import MovingCache, StaticCache, seconds_text

_SHORTEST_SPAN_NS = 100_000  # what tf2 divides by where a frame has only one stamp


def frames_as_yaml(caches: Mapping[str, MovingCache | StaticCache | None], authorities: Mapping[str, str]) -> str:
    """Return per frame its parent, broadcaster, rate in Hz, stamps and span in seconds; `[]` without frames."""
    if not caches:
        return "[]"
    return "".join(
        _entry(frame, cache, authorities.get(frame, "no recorded authority"))
        for frame, cache in caches.items()
        if cache is not None and cache.latest_parent() is not None
    )


def _entry(frame: str, cache: MovingCache | StaticCache, authority: str) -> str:
    oldest_ns, newest_ns = cache.span_ns()
    span_ns = newest_ns - oldest_ns
    rate = len(cache) * 1e9 / max(span_ns, _SHORTEST_SPAN_NS)
    return (
        f"{frame}: \n"
        f"  parent: '{cache.latest_parent()}'\n"
        f"  broadcaster: '{authority}'\n"
        f"  rate: {rate:.3f}\n"
        f"  most_recent_transform: {seconds_text(newest_ns)}\n"
        f"  oldest_transform: {seconds_text(oldest_ns)}\n"
        f"  buffer_length: {span_ns * 1e-9:.3f}\n"
    )


def frames_as_text(caches: Mapping[str, MovingCache | StaticCache | None]) -> str:
    """Return one sentence per frame that has or had a parent."""
    return "".join(
        f"Frame {frame} exists with parent {cache.latest_parent() or 'NO_PARENT'}.\n"
        for frame, cache in caches.items()
        if cache is not None
    )


def unconnected_text(target: str, source: str) -> str:
    """Return why there is no path between two frames."""
    return (
        f"Could not find a connection between '{target}' and '{source}' because they are not part of the same tree."
        "Tf has two or more unconnected trees."
    )
