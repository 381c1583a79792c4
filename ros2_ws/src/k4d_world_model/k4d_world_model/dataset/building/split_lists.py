"""The lists of training and validation samples that a data set comes with."""

from k4d_world_model.dataset.building.split import Part
from k4d_world_model.dataset.episode import check_episode_id
from k4d_world_model.dataset.layout import NativeLayout
from k4d_world_model.errors import DatasetError, EpisodeError


def read_split(layout: NativeLayout, part: Part) -> tuple[str, ...]:
    """The identifiers of one part's samples in the list's order.

    Raises DatasetError naming the file and line when there is no list, or an identifier that is none or comes twice.
    """
    if part not in ("train", "val"):
        raise DatasetError(f"the parts of a data set are 'train' and 'val', got {part!r}")
    path = layout.train_list if part == "train" else layout.val_list
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path}: cannot be read as a list of samples: {error}") from error
    seen: set[str] = set()
    for number, line in enumerate(lines, start=1):
        try:
            check_episode_id(line)
        except EpisodeError as error:
            raise DatasetError(f"{path}: line {number}: {error}") from error
        if line in seen:
            raise DatasetError(f"{path}: line {number}: {line} is listed twice")
        seen.add(line)
    return tuple(lines)
