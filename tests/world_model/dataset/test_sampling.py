"""Which frames of a recording an episode takes, and when they happened."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from k4d_world_model.dataset.sampling import CLIP_FRAMES, FrameSampling
from k4d_world_model.errors import DatasetError, RejectedEpisodeError


def test_a_clip_has_the_length_that_the_published_model_takes() -> None:
    assert CLIP_FRAMES == FrameSampling().frames == 49


@given(st.integers(1, 60), st.integers(0, 500))
def test_long_recordings_are_sampled_uniformly_from_first_to_last(frames: int, surplus: int) -> None:
    count = frames + surplus
    indices = FrameSampling(frames).indices(count)
    assert len(indices) == frames
    assert indices[0] == 0
    if frames > 1:
        assert indices[-1] == count - 1
        steps = np.diff(indices)
        assert steps.min() >= 1
        assert steps.max() - steps.min() <= 1


def test_sampled_frames_keep_their_times() -> None:
    source = np.cumsum(np.random.default_rng(3).uniform(0.01, 0.2, 130))
    sampling = FrameSampling()
    assert np.array_equal(sampling.times(source), source[sampling.indices(130)])


def test_short_recordings_are_rejected_unless_mirroring_was_asked_for() -> None:
    with pytest.raises(RejectedEpisodeError, match=r"it has 48 frames, 49 are needed \(mirror_short is off\)"):
        FrameSampling().indices(48)
    with pytest.raises(RejectedEpisodeError, match="it has 24 frames, mirroring needs 25"):
        FrameSampling(mirror_short=True).indices(24)


def test_mirroring_repeats_the_last_frame_and_plays_back() -> None:
    sampling = FrameSampling(7, mirror_short=True)
    assert sampling.indices(4).tolist() == [0, 1, 2, 3, 3, 2, 1]
    times = sampling.times([0.0, 1.0, 3.0, 6.0])
    # The pause on the last frame is the mean step; then the steps come in reverse.
    assert times.tolist() == [0.0, 1.0, 3.0, 6.0, 8.0, 11.0, 13.0]


@given(st.integers(1, 40), st.integers(1, 40))
def test_mirrored_times_go_forward(frames: int, count: int) -> None:
    sampling = FrameSampling(frames, mirror_short=True)
    if 2 * count >= frames:
        times = sampling.times(np.arange(count) * 0.1)
        assert len(times) == len(sampling.indices(count)) == frames
        assert (np.diff(times) > 0).all()


def test_no_frames_are_refused() -> None:
    with pytest.raises(DatasetError, match="frames must be at least 1, got 0"):
        FrameSampling(0)
