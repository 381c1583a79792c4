"""Robots of the example-robot-data wheel, a hand-made URDF that uses every joint type, and pinocchio as the oracle."""

from collections.abc import Callable
from importlib.metadata import distribution
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pinocchio
import pytest

EVERY_JOINT = """<?xml version="1.0"?>
<robot name="every_joint">
  <material name="orange"><color rgba="1 0.5 0 1"/></material>
  <link name="world"/>
  <joint name="base_joint" type="floating"><parent link="world"/><child link="base"/></joint>
  <link name="base">
    <visual><origin xyz="0.1 0 0"/><geometry><box size="0.2 0.3 0.5"/></geometry><material name="orange"/></visual>
    <collision><geometry><sphere radius="0.2"/></geometry></collision>
    <inertial><mass value="1"/></inertial>
  </link>
  <joint name="lift" type="prismatic">
    <origin xyz="0.1 -0.2 0.3" rpy="0.4 -0.5 0.6"/><axis xyz="0 0.6 0.8"/>
    <parent link="base"/><child link="carriage"/><limit lower="-0.1" upper="0.7" velocity="0.5" effort="1"/>
  </joint>
  <link name="carriage"><visual><geometry><capsule radius="0.05" length="0.4"/></geometry></visual></link>
  <joint name="wheel" type="continuous">
    <origin xyz="0 0.4 0" rpy="1.4 0 -2"/><axis xyz="1 2 -2"/><parent link="carriage"/><child link="disc"/>
    <limit velocity="9" effort="1"/>
  </joint>
  <link name="disc"><visual><geometry><cylinder radius="0.3" length="0.04"/></geometry></visual></link>
  <joint name="bracket" type="fixed">
    <origin xyz="0.3 0 -0.1" rpy="0 0.7 0"/><axis xyz="0 0 0"/><parent link="disc"/><child link="plate"/>
  </joint>
  <link name="plate"/>
  <joint name="elbow" type="revolute">
    <origin xyz="0 0 0.6"/><axis xyz="0 1 0"/><parent link="plate"/><child link="arm"/>
    <limit lower="-2" upper="1.5" velocity="2" effort="1"/>
  </joint>
  <link name="arm"/>
  <joint name="follower" type="revolute">
    <origin xyz="0 0 0.3"/><axis xyz="0 0 1"/><parent link="arm"/><child link="finger"/>
    <limit lower="-3" upper="3" velocity="2" effort="1"/><mimic joint="elbow" multiplier="-1.5" offset="0.2"/>
  </joint>
  <link name="finger"/>
  <joint name="slider" type="prismatic">
    <origin xyz="0.2 0 0.3"/><parent link="finger"/><child link="tip"/>
    <limit lower="-3" upper="3" velocity="2" effort="1"/><mimic joint="follower" multiplier="0.1" offset="0.05"/>
  </joint>
  <link name="tip"/>
  <gazebo reference="arm"><material>Gazebo/Orange</material></gazebo>
  <transmission name="t"><type>x</type></transmission>
  <ros2_control name="c" type="system"><joint name="elbow"/></ros2_control>
</robot>
"""


@pytest.fixture(scope="session")
def every_joint_urdf() -> str:
    return EVERY_JOINT


@pytest.fixture(scope="session")
def robots_folder() -> Path:
    """The ``robots`` folder of the example-robot-data wheel."""
    return Path(str(distribution("example-robot-data").locate_file("cmeel.prefix/share/example-robot-data/robots")))


@pytest.fixture(scope="session")
def oracle_link_poses() -> Callable[..., np.ndarray]:
    """pinocchio's ``T_root_link`` (L, 4, 4) of a URDF text for joint values by name; mimics follow from the XML."""

    def compute(urdf: str, values: dict[str, float], link_names: tuple[str, ...]) -> np.ndarray:
        model = pinocchio.buildModelFromXML(urdf)
        data = model.createData()
        mimics = {
            joint.get("name"): joint.find("mimic").attrib
            for joint in ElementTree.fromstring(urdf).findall("joint")
            if joint.find("mimic") is not None
        }

        def value_of(name: str) -> float:
            if name not in mimics:
                return values.get(name, 0.0)
            mimic = mimics[name]
            return float(mimic.get("multiplier", 1)) * value_of(mimic["joint"]) + float(mimic.get("offset", 0))

        q = pinocchio.neutral(model)
        for joint, name in list(zip(model.joints, model.names, strict=True))[1:]:
            if joint.nq == 1:
                q[joint.idx_q] = value_of(name)
            elif joint.nq == 2:
                q[joint.idx_q : joint.idx_q + 2] = np.cos(value_of(name)), np.sin(value_of(name))
        pinocchio.framesForwardKinematics(model, data, q)
        frames = [data.oMf[model.getFrameId(name, pinocchio.BODY)] for name in link_names]
        return np.stack([(frames[0].inverse() * frame).homogeneous for frame in frames])

    return compute
