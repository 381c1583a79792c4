#!/bin/bash
# Runs a command with ROS, our workspace and its Python environment.
set -e
source "/opt/ros/${ROS_DISTRO}/setup.bash"
source /k4d/ros2_ws/install/setup.bash
source /opt/k4d_venv/bin/activate
profiles=/k4d/config/dds/fastdds_shared_memory.xml
if [ "${ROS_DISTRO}" = jazzy ]; then export FASTRTPS_DEFAULT_PROFILES_FILE="${profiles}"; else export FASTDDS_DEFAULT_PROFILES_FILE="${profiles}"; fi
exec "$@"
