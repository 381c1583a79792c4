"""Writes the RLDS fixtures with tensorflow-datasets and, beside them, what tensorflow-datasets reads back from them.

Not run by tests: ``python write_rlds.py FIXTURES`` in an environment with tensorflow-cpu, tensorflow-datasets and
array_record. The feature names are those of the published DROID 1.0.1, BridgeData V2 and RT-1 (fractal) data sets; the
pictures are small and synthetic.
"""

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from etils import epath

features = tfds.features


def picture(height: int, width: int, frame: int, seed: int) -> np.ndarray:
    v, u = np.mgrid[:height, :width]
    planes = [5 * u + 3 * frame, 4 * v + 11 * seed, 3 * (u + v) + 7 * frame]
    return np.stack([128 + 100 * np.sin(plane / 40.0) for plane in planes], -1).astype(np.uint8)


def flags(frame: int, count: int) -> dict[str, object]:
    last = frame == count - 1
    return {"discount": 1.0, "is_first": frame == 0, "is_last": last, "is_terminal": last}


STEP = {
    "discount": features.Scalar(np.float32),
    "reward": features.Scalar(np.float32),
    "is_first": features.Scalar(np.bool_),
    "is_last": features.Scalar(np.bool_),
    "is_terminal": features.Scalar(np.bool_),
}


class Fixture(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    VERSION = tfds.core.Version("1.0.0")
    pkg_dir_path = epath.Path(__file__).parent
    splits = {"train": (9, 13, 8)}  # noqa: RUF012

    def _split_generators(self, dl_manager):
        return {split: self._episodes(split, counts) for split, counts in self.splits.items()}

    def _generate_examples(self):
        raise NotImplementedError

    def _episodes(self, split, counts):
        for number, count in enumerate(counts):
            yield f"{split}{number}", self.episode(split, number, count)


class Droid(Fixture, skip_registration=True):
    def _info(self):
        image = features.Image(shape=(30, 53, 3), encoding_format="jpeg")
        step = {
            **STEP,
            "observation": {
                "exterior_image_1_left": image,
                "exterior_image_2_left": image,
                "wrist_image_left": image,
                "cartesian_position": features.Tensor(shape=(6,), dtype=np.float64),
                "gripper_position": features.Tensor(shape=(1,), dtype=np.float64),
                "joint_position": features.Tensor(shape=(7,), dtype=np.float64),
            },
            "action": features.Tensor(shape=(7,), dtype=np.float64),
            "action_dict": {"joint_velocity": features.Tensor(shape=(7,), dtype=np.float64)},
            "language_instruction": features.Text(),
            "language_instruction_2": features.Text(),
            "language_instruction_3": features.Text(),
        }
        metadata = {"file_path": features.Text(), "recording_folderpath": features.Text()}
        return self.dataset_info_from_configs(
            features=features.FeaturesDict({"steps": features.Dataset(step), "episode_metadata": metadata})
        )

    def episode(self, split, number, count):
        outcome = ("success", "failure", "success")[number]
        path = f"/data/droid/LAB/{outcome}/2023-07-0{number + 1}/trajectory.h5"
        instruction = ("put the blue cube in the red cup", "", "wische den Tisch, größer")[number]
        home = np.array([0.0, -0.7854, 0.0, -2.3562, 0.0, 1.5708, 0.7854])
        return {
            "steps": [
                {
                    **flags(frame, count),
                    "reward": float(frame == count - 1 and outcome == "success"),
                    "observation": {
                        "exterior_image_1_left": picture(30, 53, frame, number),
                        "exterior_image_2_left": picture(30, 53, frame, number + 3),
                        "wrist_image_left": picture(30, 53, frame, number + 6),
                        "cartesian_position": np.arange(6) + 0.1 * frame,
                        "gripper_position": [frame / 20.0],
                        "joint_position": home + 0.01 * frame * np.arange(1, 8) + 0.05 * number,
                    },
                    "action": np.arange(7) - 0.2 * frame,
                    "action_dict": {"joint_velocity": np.ones(7) * frame},
                    "language_instruction": instruction,
                    "language_instruction_2": "second",
                    "language_instruction_3": "",
                }
                for frame in range(count)
            ],
            "episode_metadata": {"file_path": path, "recording_folderpath": f"{path}/recordings"},
        }


class BridgeDataset(Fixture, skip_registration=True):
    splits = {"train": (7, 10), "val": (6, 5)}  # noqa: RUF012

    def _info(self):
        step = {
            **STEP,
            "observation": {
                "image_0": features.Image(shape=(24, 32, 3), encoding_format="jpeg"),
                "image_1": features.Image(shape=(24, 32, 3), encoding_format="jpeg"),
                "depth_0": features.Image(shape=(24, 32, 1), encoding_format="jpeg"),
                "state": features.Tensor(shape=(7,), dtype=np.float32),
            },
            "action": features.Tensor(shape=(7,), dtype=np.float32),
            "language_instruction": features.Text(),
            "language_embedding": features.Tensor(shape=(11,), dtype=np.float32),
        }
        metadata = {"file_path": features.Text(), "has_language": features.Scalar(np.bool_)}
        return self.dataset_info_from_configs(
            features=features.FeaturesDict({"steps": features.Dataset(step), "episode_metadata": metadata})
        )

    def episode(self, split, number, count):
        return {
            "steps": [
                {
                    **flags(frame, count),
                    "reward": float(frame == count - 1),
                    "observation": {
                        "image_0": picture(24, 32, frame, number),
                        "image_1": picture(24, 32, frame, number + 2),
                        "depth_0": picture(24, 32, frame, number)[..., :1],
                        "state": np.arange(7, dtype=np.float32) * 0.1 + frame,
                    },
                    "action": np.arange(7, dtype=np.float32) - frame,
                    "language_instruction": f"move the pot {split} {number}",
                    "language_embedding": np.linspace(0, 1, 11, dtype=np.float32),
                }
                for frame in range(count)
            ],
            "episode_metadata": {"file_path": f"/nfs/{split}/{number}", "has_language": True},
        }


class Fractal20220817Data(Fixture, skip_registration=True):
    splits = {"train": (6, 8)}  # noqa: RUF012

    def _info(self):
        step = {
            **STEP,
            "observation": {
                "image": features.Image(shape=(26, 32, 3), encoding_format="jpeg"),
                "natural_language_instruction": features.Text(),
                "base_pose_tool_reached": features.Tensor(shape=(7,), dtype=np.float32),
                "gripper_closed": features.Tensor(shape=(1,), dtype=np.float32),
                "workspace_bounds": features.Tensor(shape=(3, 3), dtype=np.float32),
            },
            "action": {
                "world_vector": features.Tensor(shape=(3,), dtype=np.float32),
                "terminate_episode": features.Tensor(shape=(3,), dtype=np.int32),
            },
        }
        attributes = {"collection_mode": features.Scalar(np.int64)}
        return self.dataset_info_from_configs(
            features=features.FeaturesDict({"steps": features.Dataset(step), "attributes": attributes})
        )

    def episode(self, split, number, count):
        return {
            "steps": [
                {
                    **flags(frame, count),
                    "reward": float(frame == count - 1 and number == 0),
                    "observation": {
                        "image": picture(26, 32, frame, number),
                        "natural_language_instruction": f"pick rxbar {number}",
                        "base_pose_tool_reached": np.arange(7, dtype=np.float32) + frame,
                        "gripper_closed": [float(frame > 3)],
                        "workspace_bounds": np.arange(9, dtype=np.float32).reshape(3, 3),
                    },
                    "action": {"world_vector": [0.1, 0.2, 0.3], "terminate_episode": [0, 0, int(frame == count - 1)]},
                }
                for frame in range(count)
            ],
            "attributes": {"collection_mode": number},
        }


class PlainTypes(Fixture, skip_registration=True):
    """Lossless pictures, every number type, a compressed tensor and a sequence in a step."""

    splits = {"train": (5, 7)}  # noqa: RUF012

    def _info(self):
        step = {
            "is_first": features.Scalar(np.bool_),
            "image": features.Image(shape=(19, 28, 3), encoding_format="png"),
            "grey": features.Image(shape=(19, 28, 1), encoding_format="png"),
            "raw": features.Tensor(shape=(4, 6, 3), dtype=np.uint8),
            "counter": features.Tensor(shape=(2, 3), dtype=np.int32),
            "negative": features.Scalar(np.int64),
            "joints": features.Tensor(shape=(4,), dtype=np.float32),
            "compressed": features.Tensor(shape=(2, 5), dtype=np.float32, encoding="zlib"),
            "ragged": features.Sequence(features.Scalar(np.float32)),
        }
        return self.dataset_info_from_configs(
            features=features.FeaturesDict({"steps": features.Dataset(step), "note": features.Text()})
        )

    def episode(self, split, number, count):
        return {
            "steps": [
                {
                    "is_first": frame == 0,
                    "image": picture(19, 28, frame, number),
                    "grey": picture(19, 28, frame, number)[..., :1],
                    "raw": picture(4, 6, frame, number),
                    "counter": np.arange(6, dtype=np.int32).reshape(2, 3) * 1000 * frame,
                    "negative": -(2**40) - frame,
                    "joints": np.linspace(-1, 1, 4, dtype=np.float32) * (frame + 1),
                    "compressed": np.full((2, 5), frame, np.float32),
                    "ragged": [float(k) for k in range(frame % 3)],
                }
                for frame in range(count)
            ],
            "note": f"episode {number}",
        }


PICTURES = {
    "droid": "observation/exterior_image_1_left",
    "bridge_dataset": "observation/image_0",
    "fractal20220817_data": "observation/image",
    "plain_types": "image",
}
VALUES = {
    "droid": ("observation/joint_position", "observation/gripper_position", "reward"),
    "bridge_dataset": ("observation/state", "reward"),
    "fractal20220817_data": ("observation/base_pose_tool_reached", "reward"),
    "plain_types": ("joints", "negative", "counter", "is_first"),
}
TEXTS = {
    "droid": "language_instruction",
    "bridge_dataset": "language_instruction",
    "fractal20220817_data": "observation/natural_language_instruction",
}


def at(step, path):
    for part in path.split("/"):
        step = step[part]
    return step


def undecoded(path):
    """The tree of decoders that leaves the pictures at ``path`` encoded."""
    tree = tfds.decode.SkipDecoding()
    for part in reversed(path.split("/")):
        tree = {part: tree}
    return {"steps": tree}


def decode(encoded):
    """RGB of a picture; JPEG by the accurate transform, since TensorFlow's default is a fast approximation."""
    if encoded[:2] == b"\xff\xd8":
        return tf.io.decode_jpeg(encoded, channels=3, dct_method="INTEGER_ACCURATE").numpy()
    return tf.io.decode_png(encoded, channels=3).numpy()


def golden(builder, split):
    """What tensorflow-datasets reads, episode by episode in the order of the files."""
    data = builder.as_dataset(
        split=split,
        shuffle_files=False,
        read_config=tfds.ReadConfig(interleave_cycle_length=1),
        decoders=undecoded(PICTURES[builder.name]),
    )
    episodes = []
    for episode in tfds.as_numpy(data):
        steps = list(episode["steps"])
        pictures = [decode(at(step, PICTURES[builder.name])) for step in steps]
        entry = {
            "frames": len(steps),
            "shape": list(pictures[0].shape),
            "sha256": [hashlib.sha256(p.tobytes()).hexdigest() for p in pictures],
            "values": {path: [np.asarray(at(s, path)).tolist() for s in steps] for path in VALUES[builder.name]},
        }
        if builder.name in TEXTS:
            entry["text"] = at(steps[0], TEXTS[builder.name]).decode()
        if "episode_metadata" in episode:
            entry["file_path"] = episode["episode_metadata"]["file_path"].decode()
        episodes.append(entry)
    return episodes


def main(out: Path) -> None:
    for kind in (Droid, BridgeDataset, Fractal20220817Data, PlainTypes):
        builder = kind(data_dir=out)
        shards = tfds.download.DownloadConfig(num_shards=1 if kind is Fractal20220817Data else 2)
        builder.download_and_prepare(download_config=shards)
        report = {split: golden(builder, split) for split in builder.info.splits}
        (out / f"{builder.name}.json").write_text(json.dumps(report, separators=(",", ":")))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
