"""Measures the pointmap node as a process of its own: joint states and camera_info in, 4.15 MB pointmaps out.

    python bench/node.py --out out/bench

The second process of the measurement is this one: at 30 Hz it publishes a moving Panda's joint states and the camera's
calibration, both stamped now, and takes the time until the pointmap of that stamp has arrived. The baseline is the same
with Fast DDS's default transport instead of config/dds.
"""

import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import rclpy
import tyro
from geometry_msgs.msg import TransformStamped
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from records import Record, write_records
from sensor_msgs.msg import CameraInfo, Image, JointState
from tf2_ros import StaticTransformBroadcaster

from k4d_kinematics.configuration import CameraConfig, RobotConfig, read_configuration
from k4d_kinematics.robot import Robot
from k4d_kinematics.ros.camera_output import image_qos
from k4d_kinematics.ros.conversions import camera_message, nanoseconds, transform_message
from k4d_kinematics.ros.large_messages import keep_freed_memory

CONFIG = Path(__file__).resolve().parent.parent / "config"
RATE_HZ = 30.0
MESSAGES = 300
PROFILE_VARIABLES = ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE")


@dataclass
class Measurement:
    """Stamps sent (ns) and, by stamp, when its pointmap arrived (ns)."""

    sent_ns: list[int] = field(default_factory=list)
    arrived_ns: dict[int, int] = field(default_factory=dict)

    @property
    def lost(self) -> int:
        """How many pointmaps never came."""
        return len(set(self.sent_ns) - set(self.arrived_ns))

    @property
    def latencies_ms(self) -> list[float]:
        """From stamp to arrival."""
        return [(self.arrived_ns[stamp] - stamp) * 1e-6 for stamp in self.sent_ns if stamp in self.arrived_ns]


class Driver(Node):
    """Drives the pointmap node and takes its answers."""

    def __init__(self) -> None:
        super().__init__("bench_driver")
        config = read_configuration(CONFIG / "robots/panda.yaml", RobotConfig)
        camera = read_configuration(CONFIG / "cameras/front.yaml", CameraConfig)
        self.robot = Robot.from_file(config.urdf)
        self.home = self.robot.order_positions(tuple(config.home), tuple(config.home.values()))
        self.camera = camera.camera()
        self.measurement = Measurement()
        self.joints = self.create_publisher(JointState, "joint_states", 100)
        self.calibration = self.create_publisher(CameraInfo, "front/camera_info", 10)
        self.create_subscription(Image, "front/robot/pointmap", self._on_pointmap, image_qos())
        self.broadcaster = StaticTransformBroadcaster(self)
        transform = TransformStamped(child_frame_id=camera.frame_id, transform=transform_message(camera.T_parent_cam()))
        transform.header.frame_id = camera.parent_frame
        self.broadcaster.sendTransform(transform)
        self.timer = self.create_timer(1.0 / RATE_HZ, self._send, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self.warm = 0

    def _send(self) -> None:
        if len(self.measurement.sent_ns) >= MESSAGES:
            return
        now = self.get_clock().now()
        positions = self.home + 0.3 * np.sin(now.nanoseconds * 1e-9 + np.arange(len(self.home)))
        stamp = now.to_msg()
        state = JointState(name=self.robot.joint_names, position=np.clip(positions, self.robot.lower, self.robot.upper))
        state.header.stamp = stamp
        self.joints.publish(state)
        self.calibration.publish(camera_message(self.camera, stamp))
        if self.warm:
            self.measurement.sent_ns.append(nanoseconds(stamp))

    def _on_pointmap(self, message: Image) -> None:
        self.warm += 1
        self.measurement.arrived_ns[nanoseconds(message.header.stamp)] = self.get_clock().now().nanoseconds


def drive() -> Measurement:
    """Runs the driver until all is sent and the last answer has had a second to come."""
    keep_freed_memory()
    rclpy.init()
    driver = Driver()
    give_up = time.monotonic() + 60.0
    while len(driver.measurement.sent_ns) < MESSAGES and time.monotonic() < give_up:
        rclpy.spin_once(driver, timeout_sec=0.1)
    settled = time.monotonic() + 1.0
    while time.monotonic() < settled:
        rclpy.spin_once(driver, timeout_sec=0.1)
    rclpy.try_shutdown()
    return driver.measurement


def measure(*, with_profile: bool) -> Measurement:
    """One run of node and driver, both with or both without the shared-memory profile of config/dds."""
    environment = dict(os.environ)
    if not with_profile:
        environment.update(dict.fromkeys(PROFILE_VARIABLES, ""))
    program = Path(sys.prefix) / "bin" / "k4d_pointmap_node"
    parameters = {"robot": str(CONFIG / "robots/panda.yaml"), "cameras": "[front]"}
    arguments = [word for name, value in parameters.items() for word in ("-p", f"{name}:={value}")]
    node = subprocess.Popen([program, "--ros-args", *arguments], env=environment)
    try:
        command = [sys.executable, __file__, "--drive"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=180)
    finally:
        node.terminate()
        node.wait(timeout=30)
    sent, arrived = (line.split() for line in done.stdout.splitlines()[-2:])
    pairs = (pair.split(":") for pair in arrived[1:])
    return Measurement([int(stamp) for stamp in sent[1:]], {int(stamp): int(moment) for stamp, moment in pairs})


def main(out: Path = Path("out/bench")) -> None:
    """Measures with and without the profile and writes node.json."""
    ours, default = measure(with_profile=True), measure(with_profile=False)
    conditions = (
        f"{MESSAGES} pointmaps of 480 x 720 x 3 float32 at {RATE_HZ:g} Hz, full Panda, node and subscriber in two "
        "processes, from joint stamp to arrival; baseline: Fast DDS default transport"
    )
    latency, default_latency = float(np.median(ours.latencies_ms)), float(np.median(default.latencies_ms))
    write_records(
        out / "node.json",
        [
            Record("node_lost", ours.lost, "messages", default.lost, None, conditions),
            Record("node_latency_ms", latency, "ms", default_latency, default_latency / latency, conditions),
        ],
    )


if __name__ == "__main__":
    if "--drive" in sys.argv:
        result = drive()
        print("sent", *result.sent_ns)
        print("arrived", *(f"{stamp}:{moment}" for stamp, moment in result.arrived_ns.items()))
    else:
        tyro.cli(main)
