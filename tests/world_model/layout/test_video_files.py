"""Videos that a sample holds, and what only looks like one."""

from pathlib import Path

import numpy as np
import pytest

from k4d_world_model.dataset.storage.video_files import decode_pictures, encode_mp4
from k4d_world_model.errors import SampleError


def test_a_playlist_instead_of_a_video_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = np.random.default_rng(3).integers(0, 256, (5, 18, 24, 3), np.uint8)
    video = encode_mp4(pictures, None)
    np.testing.assert_array_equal(decode_pictures(video, "a.mp4"), pictures)
    (tmp_path / "secret.mp4").write_bytes(video)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SampleError, match=r"a\.mp4: cannot be decoded as a video"):
        decode_pictures(b"ffconcat version 1.0\nfile secret.mp4\n", "a.mp4")
