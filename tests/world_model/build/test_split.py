"""Which samples validate."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from k4d_world_model.dataset.building.split import Member, Part, scene_group, split_groups
from k4d_world_model.dataset.episode import EpisodeInfo

members = st.lists(
    st.builds(Member, stratum=st.sampled_from("abcde"), group=st.integers(0, 30).map(str)), min_size=0, max_size=120
)


@pytest.mark.parametrize("share", [0.02, 0.1, 0.5])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_every_stratum_gets_its_share_to_one_sample(share: float, seed: int) -> None:
    sizes = {"push": 700, "pick": 313, "reach": 49, "pour": 3}
    everyone = [Member(stratum, f"{stratum}{i}") for stratum, size in sizes.items() for i in range(size)]
    parts = split_groups(everyone, share, seed, {})
    validating = Counter(member.stratum for member in everyone if parts[member.group] == "val")
    for stratum, size in sizes.items():
        assert abs(validating[stratum] - share * size) < 1.0 + 1e-9


def test_variants_of_one_scene_stay_together_and_their_outcomes_in_proportion() -> None:
    everyone = []
    for scene in range(2000):
        for variant in range(10):
            outcome = "success" if (scene * 7 + variant * 3) % 10 < 3 + variant % 2 else "failure"
            everyone.append(Member(f"{variant}/{outcome}", f"seed{scene}"))
    parts = split_groups(everyone, 0.02, 0, {})
    validating = Counter(member.stratum for member in everyone if parts[member.group] == "val")
    for stratum, size in Counter(member.stratum for member in everyone).items():
        assert validating[stratum] == pytest.approx(0.02 * size, rel=0.25, abs=3.0)
    assert 38 <= list(parts.values()).count("val") <= 42


@given(members, st.sampled_from([0.0, 0.02, 0.2, 0.5]), st.integers(0, 5))
def test_every_group_has_one_part_whatever_the_order(everyone: list[Member], share: float, seed: int) -> None:
    parts = split_groups(everyone, share, seed, {})
    assert parts.keys() == {member.group for member in everyone}
    assert split_groups(everyone[::-1], share, seed, {}) == parts
    assert set(parts.values()) <= {"train", "val"}
    if len(parts) > 1:
        assert "train" in parts.values()
        assert ("val" in parts.values()) == (share > 0)


@given(members, members, st.sampled_from([0.02, 0.2]))
def test_growing_moves_nobody(first: list[Member], more: list[Member], share: float) -> None:
    before = split_groups(first, share, 0, {})
    after = split_groups(first + more, share, 0, before)
    assert before.items() <= after.items()


@settings(max_examples=20)
@given(st.lists(st.integers(1, 200), min_size=1, max_size=12), st.integers(0, 9))
def test_a_stratum_that_grows_by_and_by_keeps_its_share(steps: list[int], seed: int) -> None:
    everyone: list[Member] = [Member("rest", f"rest{i}") for i in range(100)]
    parts: dict[str, Part] = split_groups(everyone, 0.1, seed, {})
    for number, size in enumerate(steps):
        everyone += [Member("a", f"{number}.{i}") for i in range(size)]
        parts = split_groups(everyone, 0.1, seed, parts)
    validating = sum(parts[member.group] == "val" for member in everyone if member.stratum == "a")
    assert abs(validating - 0.1 * sum(steps)) < 1.0 + 1e-9


def test_scenes_are_told_apart_by_source_task_and_seed() -> None:
    expert = EpisodeInfo("a", "simulation", task="push", variant="expert", seed=7, success=True)
    noisy = EpisodeInfo("b", "simulation", task="push", variant="noise_segment2_sigma0.8", seed=7, success=False)
    other = EpisodeInfo("c", "simulation", task="reach", seed=7)
    recorded = [EpisodeInfo("d", "lab"), EpisodeInfo("e", "lab")]
    assert scene_group(expert) == scene_group(noisy)
    assert len({scene_group(info) for info in (expert, other, *recorded)}) == 4
