"""Writes the HDF5 fixtures with h5py, laid out as by LIBERO's create_dataset and robomimic's dataset_states_to_obs.

Not run by tests: ``python write_hdf5.py FIXTURES`` in an environment with h5py. The golden values beside them are what
h5py is given, before any turning of pictures.
"""

import hashlib
import json
import sys
from pathlib import Path

import h5py
import numpy as np

HOME = np.array([0.0, -0.161, 0.0, -2.445, 0.0, 2.2267, 0.7854])
MODEL = """<mujoco model="base">
  <compiler angle="radian" autolimits="true"/>
  <worldbody>
    <light pos="0 0 3"/>
    <camera name="frontview" pos="1.6 0 1.45" quat="0.560842 0.430646 0.430646 0.560842"/>
    <camera name="agentview" pos="0.658616 0 1.6103" quat="0.638051 0.304844 0.304844 0.638051" fovy="{fovy}"/>
    <body name="stand" pos="0.1 -0.2 0.05" quat="0.924 0 0 0.3827">
      <geom size="0.1 0.1 0.1" type="box"/>
      <camera name="sideview" pos="0.3 0.4 0.9" quat="0.7 0.3 0.1 0.6"/>
    </body>
    <body name="robot0_base" pos="-0.66 0 0.912">
      <geom size="0.02"/>
      <body name="robot0_link0" pos="0 0 0">
        <geom size="0.05"/>
        <body name="robot0_link1" pos="0 0 0.333">
          <joint name="robot0_joint1" axis="0 0 1" range="-2.9 2.9"/>
          <geom size="0.05"/>
          <camera name="robot0_eye_in_hand" pos="0.05 0 0" quat="0 0.707107 0.707107 0" fovy="75"/>
        </body>
      </body>
    </body>
  </worldbody>
</mujoco>
"""


def picture(height: int, width: int, frame: int, seed: int) -> np.ndarray:
    v, u = np.mgrid[:height, :width]
    planes = [5 * u + 3 * frame, 9 * v + 11 * seed, 3 * (u + v) + 7 * frame]
    return np.stack([128 + 100 * np.sin(plane / 40.0) for plane in planes], -1).astype(np.uint8)


def depth_of_tilted_plane(height: int, width: int, frame: int) -> np.ndarray:
    v, u = np.mgrid[:height, :width]
    return (1.0 + 0.01 * u + 0.02 * v + 0.001 * frame).astype(np.float32)[..., None]


def joints(count: int, seed: int) -> np.ndarray:
    return HOME + 0.01 * np.arange(count)[:, None] * np.arange(1, 8) + 0.03 * seed


def fingers(count: int) -> np.ndarray:
    opening = np.linspace(0.04, 0.01, count)
    return np.stack([opening, -opening], -1)


def outcome(count: int, *, succeeded: bool) -> np.ndarray:
    last = np.zeros(count)
    last[-1] = succeeded
    return last


def libero(path: Path) -> dict[str, object]:
    """Pictures bottom row first, one task per file, uint8 rewards, no compression."""
    golden = {}
    with h5py.File(path, "w") as file:
        data = file.create_group("data")
        info = {
            "problem_name": "tabletop",
            "language_instruction": "put the black bowl on the plate",
            "domain_name": "robosuite",
        }
        data.attrs["problem_info"] = json.dumps(info)
        data.attrs["env_args"] = json.dumps({"type": 1, "env_name": "Libero_Tabletop_Manipulation"})
        data.attrs["num_demos"] = 3
        for number, count in ((0, 9), (2, 6), (10, 7)):
            demo = data.create_group(f"demo_{number}")
            upright = np.stack([picture(20, 28, frame, number) for frame in range(count)])
            obs = demo.create_group("obs")
            obs["agentview_rgb"] = upright[:, ::-1]
            obs["eye_in_hand_rgb"] = upright[:, ::-1, ::-1]
            obs["joint_states"] = joints(count, number)
            obs["gripper_states"] = fingers(count)
            obs["ee_pos"] = np.arange(3.0 * count).reshape(count, 3)
            demo["actions"] = np.zeros((count, 7))
            demo["states"] = np.zeros((count, 11))
            demo["rewards"] = outcome(count, succeeded=True).astype(np.uint8)
            demo["dones"] = outcome(count, succeeded=True).astype(np.uint8)
            demo.attrs["num_samples"] = count
            demo.attrs["model_file"] = MODEL.format(fovy=45)
            demo.attrs["init_state"] = np.zeros(11)
            golden[f"demo_{number}"] = report(upright, joints(count, number), success=True)
    return golden


def robomimic(path: Path) -> dict[str, object]:
    """Pictures and depth (metres) top row first, compressed, sparse rewards, a filter key and next_obs."""
    golden = {}
    with h5py.File(path, "w") as file:
        data = file.create_group("data")
        data.attrs["env_args"] = json.dumps({"env_name": "Lift", "type": 1, "env_version": "1.5.1", "env_kwargs": {}})
        data.attrs["total"] = 13
        for number, count in ((0, 5), (1, 8)):
            demo = data.create_group(f"demo_{number}")
            pictures = np.stack([picture(18, 26, frame, number) for frame in range(count)])
            depth = np.stack([depth_of_tilted_plane(18, 26, frame) for frame in range(count)])
            for group in ("obs", "next_obs"):
                demo.create_dataset(f"{group}/agentview_image", data=pictures, compression="gzip")
            demo.create_dataset("obs/agentview_depth", data=depth, compression="gzip")
            demo["obs/robot0_joint_pos"] = joints(count, number)
            demo["obs/robot0_gripper_qpos"] = fingers(count)
            demo["actions"] = np.zeros((count, 7))
            demo["rewards"] = outcome(count, succeeded=number == 1)
            demo["dones"] = outcome(count, succeeded=True).astype(np.int64)
            demo.attrs["num_samples"] = count
            demo.attrs["model_file"] = MODEL.format(fovy=60)
            golden[f"demo_{number}"] = report(pictures, joints(count, number), success=number == 1)
        file["mask/train"] = np.array([b"demo_0"])
    return golden


def report(upright: np.ndarray, positions: np.ndarray, *, success: bool) -> dict[str, object]:
    return {
        "sha256": [hashlib.sha256(p.tobytes()).hexdigest() for p in upright],
        "joints": positions.tolist(),
        "success": success,
    }


def main(out: Path) -> None:
    for name, write in (("libero", libero), ("robomimic", robomimic)):
        (out / name).mkdir(parents=True)
        golden = write(out / name / {"libero": "put_the_bowl_demo.hdf5", "robomimic": "lift_ph_image.hdf5"}[name])
        (out / f"{name}.json").write_text(json.dumps(golden, separators=(",", ":")))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
