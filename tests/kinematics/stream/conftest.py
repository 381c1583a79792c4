"""A small arm with a revolute, a continuous and a prismatic joint."""

import pytest

from k4d_kinematics.robot import Robot

ARM = """<robot name="arm">
  <link name="base"><visual><geometry><box size="0.2 0.2 0.1"/></geometry></visual></link>
  <link name="upper"><visual><origin xyz="0 0 0.2"/><geometry><box size="0.08 0.06 0.4"/></geometry></visual></link>
  <link name="lower"><visual><origin xyz="0 0 0.15"/>
    <geometry><cylinder radius="0.04" length="0.3"/></geometry></visual></link>
  <link name="rod"><visual><geometry><sphere radius="0.05"/></geometry></visual></link>
  <joint name="shoulder" type="revolute"><parent link="base"/><child link="upper"/><origin xyz="0 0 0.05"/>
    <axis xyz="0 1 0"/><limit lower="-1.5" upper="1.2" velocity="2.0" effort="1"/></joint>
  <joint name="elbow" type="continuous"><parent link="upper"/><child link="lower"/><origin xyz="0 0 0.4"/>
    <axis xyz="1 0 0"/></joint>
  <joint name="slide" type="prismatic"><parent link="lower"/><child link="rod"/><origin xyz="0 0 0.3"/>
    <axis xyz="0 0 1"/><limit lower="0" upper="0.2" velocity="0.5" effort="1"/></joint>
</robot>"""


@pytest.fixture(scope="session")
def arm() -> Robot:
    return Robot.from_urdf(ARM)
