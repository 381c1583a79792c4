"""Where files of a data set lie: the only file that knows paths, for the native and for the published layout."""

from dataclasses import dataclass
from pathlib import Path

from k4d_world_model.dataset.episode import check_episode_id
from k4d_world_model.errors import DatasetError, SampleError

META = "meta.json"
CHECKSUMS = "SHA256SUMS"
RGB = "rgb.mkv"
SCENE_DEPTH = "scene_depth.mkv"
SCENE_POINTS = "scene_points.mkv"
ROBOT_DEPTH = "robot_depth.mkv"
ROBOT_POINTS = "robot_points.mkv"
ROBOT_MASK = "robot_mask.npz"


@dataclass(frozen=True)
class NativeLayout:
    """Our own data set below ``root``: one folder a sample, and what is said of all of them.

    ::

        samples/<episode_id>/  meta.json SHA256SUMS rgb.mkv scene_depth.mkv robot_depth.mkv robot_mask.npz
        manifest.json report.json train.txt val.txt review/index.html .staging/ .lock
    """

    root: Path

    @property
    def samples(self) -> Path:
        """The folder of all samples."""
        return self.root / "samples"

    @property
    def staging(self) -> Path:
        """Where samples are put together; what a killed process leaves here is no sample."""
        return self.root / ".staging"

    @property
    def lock(self) -> Path:
        """The file that a build locks as long as it runs."""
        return self.root / ".lock"

    @property
    def manifest(self) -> Path:
        """The list of all samples."""
        return self.root / "manifest.json"

    @property
    def report(self) -> Path:
        """What was built, and what was rejected why."""
        return self.root / "report.json"

    @property
    def train_list(self) -> Path:
        """Identifiers of the samples to learn from, one a line."""
        return self.root / "train.txt"

    @property
    def val_list(self) -> Path:
        """Identifiers of the samples to validate on, one a line."""
        return self.root / "val.txt"

    @property
    def review(self) -> Path:
        """The folder of the review page and its pictures."""
        return self.root / "review"

    @property
    def review_page(self) -> Path:
        """The page that shows every sample."""
        return self.review / "index.html"

    def review_sheet(self, episode_id: str) -> Path:
        """The picture of one sample on the review page."""
        return self.review / "sheets" / f"{check_episode_id(episode_id)}.png"

    def sample_folder(self, episode_id: str) -> Path:
        """The folder of one sample. Raises EpisodeError on an identifier that is no safe file name."""
        return self.samples / check_episode_id(episode_id)

    def inside(self, path: Path) -> Path:
        """The path itself. Raises SampleError when links on the way lead out of ``root`` or in a circle."""
        return _inside(self.root, path)


@dataclass(frozen=True)
class Robo4DLayout:
    """The published Robo4D-200k folders below ``root``: files of one sample share a name, text files list them."""

    root: Path

    @property
    def videos(self) -> Path:
        """The folder by whose files samples are found."""
        return self.root / "videos"

    def first_frame(self, name: str) -> Path:
        """The first picture (PNG)."""
        return self._file("first_frames", name, ".png")

    def video(self, name: str) -> Path:
        """The pictures (MP4)."""
        return self._file("videos", name, ".mp4")

    def pointmap(self, name: str) -> Path:
        """The whole scene's points as colours (MP4)."""
        return self._file("pointmap", name, ".mp4")

    def mask_video(self, name: str) -> Path:
        """The pictures of the robot alone, black elsewhere (MP4)."""
        return self._file("mask_videos", name, ".mp4")

    def mask_pointmap(self, name: str) -> Path:
        """The robot's points as colours, black elsewhere (MP4)."""
        return self._file("mask_pointmap", name, ".mp4")

    @property
    def train_list(self) -> Path:
        """Videos to train on, one ``videos/<name>.mp4`` a line."""
        return self.root / "train_shuffled.txt"

    @property
    def train_image_list(self) -> Path:
        """First frames to train on, one ``first_frames/<name>.png`` a line, in the order of ``train_list``."""
        return self.root / "train_img_shuffled.txt"

    @property
    def val_list(self) -> Path:
        """Videos to validate on; the published data set calls it so or ``val_sample.txt``."""
        return self.root / "val_sel.txt"

    @property
    def val_sample_list(self) -> Path:
        """The other published list of videos to validate on."""
        return self.root / "val_sample.txt"

    @property
    def staging(self) -> Path:
        """Where files are written before they move to their places."""
        return self.root / ".staging"

    def inside(self, path: Path) -> Path:
        """The path itself. Raises SampleError when links on the way lead out of ``root``."""
        return _inside(self.root, path)

    def _file(self, folder: str, name: str, suffix: str) -> Path:
        return self.root / folder / f"{check_episode_id(name)}{suffix}"


def dataset_root(path: Path) -> Path:
    """The path itself. Raises DatasetError unless it is a folder."""
    if not path.is_dir():
        raise DatasetError(f"{path}: no such folder; a data set's root is needed")
    return path


def _inside(root: Path, path: Path) -> Path:
    try:
        real = path.resolve()
    except RuntimeError as error:
        raise SampleError(f"{path}: a link leads to itself") from error
    if not real.is_relative_to(root.resolve()):
        raise SampleError(f"{path}: a link leads out of the data set to {real}; valid is what lies in {root}")
    return path
