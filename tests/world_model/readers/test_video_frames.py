"""Chosen frames of videos against decoding all of them, for key frames near and far and frames out of order."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from k4d_world_model.dataset.sources import video_frames
from k4d_world_model.dataset.sources.video_frames import read_video_frames
from k4d_world_model.errors import SourceError

RATE = 25
COUNT = 47


def write(path: Path, codec: str, options: dict[str, str], count: int = COUNT, *, noise: bool = False) -> None:
    rng = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=Fraction(RATE), options=options)
        stream.height, stream.width, stream.pix_fmt = 34, 48, "yuv420p"
        for frame in range(count):
            v, u = np.mgrid[:34, :48]
            picture = np.stack([5 * frame + 0 * u, 2 * u + frame, 3 * v + 2 * frame], -1) % 256
            picture = rng.integers(0, 256, picture.shape) if noise else picture
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture.astype(np.uint8), format="rgb24")))
        container.mux(stream.encode(None))


def decode_all(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


@pytest.mark.parametrize(
    ("codec", "options"),
    [
        ("libx264", {"g": "2", "bf": "0"}),
        ("libx264", {"g": "12", "bf": "3"}),
        ("libx264", {"g": "250"}),
        ("libsvtav1", {"g": "8", "preset": "12"}),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value.values()),
)
@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_chosen_frames_are_those_of_the_whole_video(
    tmp_path: Path, codec: str, options: dict[str, str], suffix: str
) -> None:
    path = tmp_path / f"video.{suffix}"
    write(path, codec, options)
    whole = decode_all(path)
    for indices in ([0], [46], [3, 4, 5, 30, 31, 46], list(range(COUNT)), [40, 2, 2, 25, 40]):
        frames = read_video_frames(path, np.array(indices) / RATE, 0.25 / RATE)
        np.testing.assert_array_equal(frames, whole[indices])


def test_far_frames_are_reached_by_key_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "video.mp4"
    write(path, "libx264", {"g": "2", "bf": "0"})
    dense = tmp_path / "dense.mp4"
    write(dense, "libx264", {"g": "47", "bf": "0"})
    decoded = []

    class Container:
        def __init__(self, inner: av.container.InputContainer) -> None:
            self.streams, self.seek, self.inner = inner.streams, inner.seek, inner

        def __enter__(self) -> "Container":
            return self

        def __exit__(self, *_: object) -> None:
            self.inner.close()

        def decode(self, stream: av.VideoStream):
            for frame in self.inner.decode(stream):
                decoded.append(frame.pts)
                yield frame

    opened = av.open
    monkeypatch.setattr(video_frames.av, "open", lambda name, **options: Container(opened(name, **options)))
    read_video_frames(path, np.array([0, 20, 45]) / RATE, 0.25 / RATE)
    assert len(decoded) <= 8
    decoded.clear()
    read_video_frames(dense, np.arange(COUNT) / RATE, 0.25 / RATE)
    assert len(decoded) == COUNT


def test_a_frame_beyond_the_end_or_between_two_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "video.mp4"
    write(path, "libx264", {"g": "12"})
    with pytest.raises(SourceError, match=r"video.mp4: no frame at 1.8800 s \(within 0.0100 s\)"):
        read_video_frames(path, np.array([0.0, COUNT / RATE]), 0.01)
    with pytest.raises(SourceError, match=r"no frame at 0.0200 s .* the closest after it: 0.0400 s"):
        read_video_frames(path, np.array([0.02]), 0.01)


def test_damaged_videos_are_named(tmp_path: Path) -> None:
    path = tmp_path / "video.mp4"
    write(path, "libx264", {"g": "12"})
    content = path.read_bytes()
    for damaged in (b"", b"no video", content[: len(content) // 2], content[:-600]):
        path.write_bytes(damaged)
        with pytest.raises(SourceError, match=r"video\.mp4: "):
            read_video_frames(path, np.array([0.0, 1.0]), 0.01)
    with pytest.raises(SourceError, match=r"gone\.mp4: no readable video"):
        read_video_frames(tmp_path / "gone.mp4", np.array([0.0]), 0.01)


def test_frames_that_the_decoder_flags_are_refused(tmp_path: Path) -> None:
    """Zeroed bytes inside pictures: the decoder hides some of them behind a guess, which it flags."""
    path = tmp_path / "video.mp4"
    write(path, "libx264", {"g": "12"}, noise=True)
    content = path.read_bytes()
    rng = np.random.default_rng(1)
    flagged = 0
    for _ in range(40):
        damaged = bytearray(content)
        start, size = int(rng.integers(300, len(content) * 2 // 3)), int(rng.integers(1, 800))
        damaged[start : start + size] = rng.bytes(size)
        path.write_bytes(damaged)
        try:
            with av.open(str(path)) as container:
                frames = [(frame.time, frame.is_corrupt) for frame in container.decode(video=0)]
        except av.FFmpegError:
            continue
        for time in [time for time, is_corrupt in frames if is_corrupt]:
            flagged += 1
            with pytest.raises(SourceError, match=r"video\.mp4: "):
                read_video_frames(path, np.array([time]), 0.01)
    assert flagged > 0


def test_a_truncated_stream_gives_what_it_has_and_names_what_it_lacks(tmp_path: Path) -> None:
    path = tmp_path / "video.mp4"
    write(path, "libx264", {"g": "12"})
    faststart = tmp_path / "faststart.mp4"
    with av.open(str(path)) as source, av.open(str(faststart), "w", options={"movflags": "faststart"}) as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    whole = decode_all(faststart)
    content = faststart.read_bytes()
    start = content.index(b"mdat")
    faststart.write_bytes(content[: start + (len(content) - start) * 2 // 3])
    np.testing.assert_array_equal(read_video_frames(faststart, np.array([0.0, 0.2]), 0.01), whole[[0, 5]])
    for index in range(COUNT):
        try:
            frames = read_video_frames(faststart, np.array([index / RATE]), 0.01)
        except SourceError:
            continue
        np.testing.assert_array_equal(frames[0], whole[index])
    with pytest.raises(SourceError, match=r"faststart\.mp4: "):
        read_video_frames(faststart, np.array([46 / RATE]), 0.01)


def test_a_file_without_video_is_named(tmp_path: Path) -> None:
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=48000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        sound.sample_rate = 48000
        container.mux(stream.encode(sound))
        container.mux(stream.encode(None))
    with pytest.raises(SourceError, match=r"sound\.mp4: holds no video"):
        read_video_frames(path, np.array([0.0]), 0.01)


@pytest.mark.parametrize(
    ("name", "playlist"),
    [
        ("video.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-VERSION:3\n#EXTINF:1.88,\n{0}\n#EXT-X-ENDLIST\n"),
        ("video.mp4", "ffconcat version 1.0\nfile link.ts\n"),
    ],
)
def test_a_playlist_of_other_files_is_refused(tmp_path: Path, name: str, playlist: str) -> None:
    (tmp_path / "inside").mkdir()
    write(tmp_path / "secret.ts", "libx264", {"g": "12"})
    (tmp_path / "inside" / "link.ts").symlink_to(tmp_path / "secret.ts")
    path = tmp_path / "inside" / name
    path.write_text(playlist.format(tmp_path / "secret.ts"))
    assert decode_all(path).shape == (COUNT, 34, 48, 3), "the decoder itself follows it"
    with pytest.raises(SourceError, match=rf"{name}: no readable video"):
        read_video_frames(path, np.arange(COUNT) / RATE + 1.4, 2.0)
