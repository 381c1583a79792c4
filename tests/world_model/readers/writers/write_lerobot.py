"""Writes the LeRobotDataset v3 fixtures with lerobot and, beside them, what lerobot reads back from them.

Not run by tests: ``python write_lerobot.py FIXTURES`` in an environment with lerobot[dataset] (Python 3.12).
"""

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
from lerobot.datasets.lerobot_dataset import LeRobotDataset

JOINTS = [f"panda_joint{k}" for k in range(1, 8)] + ["gripper"]
HOME_DEG = np.array([0.0, -45.0, 0.0, -135.0, 0.0, 90.0, 45.0])


def picture(height: int, width: int, frame: int, seed: int) -> np.ndarray:
    v, u = np.mgrid[:height, :width]
    planes = [2 * u + 5 * frame, 3 * v + 11 * seed, u + v + 9 * frame]
    return np.stack([128 + 100 * np.sin(plane / 40.0) for plane in planes], -1).astype(np.uint8)


def write(root: Path, *, videos: bool, counts: tuple[int, ...], height: int, width: int) -> None:
    kind = "video" if videos else "image"
    shape = (height, width, 3)
    dataset = LeRobotDataset.create(
        repo_id=f"k4d/{root.name}",
        root=root,
        fps=20,
        robot_type="panda",
        use_videos=videos,
        features={
            "observation.images.front": {"dtype": kind, "shape": shape, "names": ["height", "width", "channels"]},
            "observation.images.wrist": {"dtype": kind, "shape": shape, "names": ["height", "width", "channels"]},
            "observation.state": {"dtype": "float32", "shape": (8,), "names": JOINTS},
            "action": {"dtype": "float32", "shape": (7,), "names": JOINTS[:7]},
            "next.success": {"dtype": "bool", "shape": (1,), "names": None},
        },
    )
    # Tiny files, so that the few episodes are spread over several files and chunks.
    dataset.meta.update_chunk_settings(chunks_size=2, data_files_size_in_mb=0.004, video_files_size_in_mb=0.004)
    for episode, count in enumerate(counts):
        for frame in range(count):
            dataset.add_frame(
                {
                    "observation.images.front": picture(height, width, frame, episode),
                    "observation.images.wrist": picture(height, width, frame, episode + 5),
                    "observation.state": np.append(HOME_DEG + 0.5 * frame + episode, frame / count).astype(np.float32),
                    "action": (np.arange(7) - 0.1 * frame).astype(np.float32),
                    "next.success": np.array([episode != 1 and frame == count - 1]),
                    "task": ("stack the cups", "open the drawer")[episode % 2],
                }
            )
        dataset.save_episode()
    dataset.finalize()


def golden(root: Path) -> list[dict[str, object]]:
    """What lerobot reads, frame by frame."""
    frames = []
    for item in LeRobotDataset(f"k4d/{root.name}", root=root):
        front = np.round(item["observation.images.front"].numpy().transpose(1, 2, 0) * 255).astype(np.uint8)
        frames.append(
            {
                "episode": int(item["episode_index"]),
                "timestamp": float(item["timestamp"]),
                "state": item["observation.state"].tolist(),
                "success": bool(item["next.success"]),
                "task": item["task"],
                "shape": list(front.shape),
                "mean_rgb": front.reshape(-1, 3).mean(0).round(4).tolist(),
                "sha256": hashlib.sha256(front.tobytes()).hexdigest(),
            }
        )
    return frames


def main(out: Path) -> None:
    for name, videos, counts, height, width in (
        ("lerobot_video", True, (14, 9, 11, 23), 66, 96),
        ("lerobot_image", False, (6, 8), 18, 30),
    ):
        write(out / name, videos=videos, counts=counts, height=height, width=width)
        (out / f"{name}.json").write_text(json.dumps(golden(out / name), separators=(",", ":")))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
