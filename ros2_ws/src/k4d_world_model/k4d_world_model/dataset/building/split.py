"""Which samples validate: a fixed share of every stratum, whole groups, and never another one than before."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from k4d_world_model.dataset.episode import EpisodeInfo

Part = Literal["train", "val"]


@dataclass(frozen=True)
class Member:
    """A sample as the split sees it: what is kept in proportion, and what is kept together."""

    stratum: str
    group: str


def scene_group(info: EpisodeInfo) -> str:
    """What an episode shares its scene with: all variants of one seed, and nothing where there is no seed."""
    return info.episode_id if info.seed is None else f"{info.source}/{info.task}/seed{info.seed}"


def split_groups(members: Iterable[Member], share: float, seed: int, earlier: Mapping[str, Part]) -> dict[str, Part]:
    """The part of every group of ``members``; groups in ``earlier`` keep theirs, so a data set may grow.

    Systematic sampling (Cochran, Sampling Techniques, ch. 8) in every stratum with a random start: new groups come in
    the order of their hashes, and one validates when its strata lack validation samples, on average over its members.
    A stratum whose samples are all groups of their own has less than one sample more or less than ``share`` asks for.
    Besides, of two or more groups one at least trains, and with ``share`` > 0 one at least validates.
    """
    strata: dict[str, Counter[str]] = defaultdict(Counter)
    for member in members:
        strata[member.group][member.stratum] += 1
    parts = {group: earlier[group] for group in strata if group in earlier}
    seen: Counter[str] = Counter()
    validating: Counter[str] = Counter()
    for group, part in parts.items():
        seen.update(strata[group])
        if part == "val":
            validating.update(strata[group])
    new = sorted(strata.keys() - parts.keys(), key=lambda group: _uniform(seed, group))
    for group in new:
        seen.update(strata[group])
        lacking = sum(
            count * (share * seen[stratum] - validating[stratum] - _uniform(seed, stratum))
            for stratum, count in strata[group].items()
        )
        parts[group] = "val" if lacking >= 0 and "train" in parts.values() else "train"
        if parts[group] == "val":
            validating.update(strata[group])
    if share > 0 and new and len(parts) > 1 and "val" not in parts.values():
        parts[new[-1]] = "val"
    return parts


def _uniform(seed: int, name: str) -> float:
    """A number in [0, 1) that looks random but depends on nothing else, on any machine."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:6]) / 2**48
