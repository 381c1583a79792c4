# syntax=docker/dockerfile:1
# Two homes as images. `lab`: ROS 2 with MoveIt and RViz; `--build-arg ROS_DISTRO=kilted` or lyrical chooses another one.
# `embedded`: nothing but PyPI and Debian, on a CPU. Neither holds weights of the published models: mount them.
#   docker build --target lab --tag k4d:lab .
#   docker run --rm --gpus all --shm-size 1g \
#     --volume "$PWD/models/wan2.1_i2v_14b_480p:/k4d/models/wan2.1_i2v_14b_480p:ro" k4d:lab
ARG ROS_DISTRO=jazzy

FROM ros:${ROS_DISTRO}-ros-base AS lab-base
ARG ROS_DISTRO
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
WORKDIR /k4d
COPY ros2_ws/src/k4d_bringup/package.xml ros2_ws/src/k4d_bringup/
COPY ros2_ws/src/k4d_kinematics/package.xml ros2_ws/src/k4d_kinematics/
COPY ros2_ws/src/k4d_msgs/package.xml ros2_ws/src/k4d_msgs/
COPY ros2_ws/src/k4d_simulation/package.xml ros2_ws/src/k4d_simulation/
COPY ros2_ws/src/k4d_world_model/package.xml ros2_ws/src/k4d_world_model/
# A distribution's apt repository holds one version of a package, so that versions cannot be pinned. OSMesa draws where
# EGL finds no driver; Mesa has dropped it, and Ubuntu may.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends \
      libegl1 libgl1 libgomp1 python3-venv \
      "ros-${ROS_DISTRO}-moveit" "ros-${ROS_DISTRO}-moveit-py" "ros-${ROS_DISTRO}-rviz2" \
    && if apt-cache show libosmesa6 > /dev/null 2>&1; then apt-get install -y --no-install-recommends libosmesa6; fi \
    && rosdep update --rosdistro "${ROS_DISTRO}" \
    && rosdep install --from-paths ros2_ws/src --ignore-src --rosdistro "${ROS_DISTRO}" -y \
    && rm -rf /var/lib/apt/lists/*

FROM lab-base AS lab-build
ARG ROS_DISTRO
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
COPY requirements/ requirements/
RUN python3 -m venv --system-site-packages /opt/k4d_venv \
    && /opt/k4d_venv/bin/pip install --no-cache-dir --requirement "requirements/lab_${ROS_DISTRO}.txt"
COPY config/ config/
COPY launch/ launch/
COPY models/ models/
COPY ros2_ws/ ros2_ws/
WORKDIR /k4d/ros2_ws
RUN source "/opt/ros/${ROS_DISTRO}/setup.bash" && source /opt/k4d_venv/bin/activate && colcon build

FROM lab-base AS lab
ARG ROS_DISTRO
ENV OMP_WAIT_POLICY=PASSIVE \
    ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST
COPY --from=lab-build /opt/k4d_venv /opt/k4d_venv
COPY --from=lab-build /k4d/ros2_ws/install ros2_ws/install
COPY config/ config/
COPY models/ models/
COPY examples/ examples/
COPY docker/lab_entrypoint.sh /usr/local/bin/k4d-entrypoint
RUN useradd --create-home --uid 10001 k4d
USER 10001
# numba keeps compiled kernels below this user's home; without them every container would begin by compiling.
RUN k4d-entrypoint python3 -m k4d_kinematics.compilation
ENTRYPOINT ["k4d-entrypoint"]
HEALTHCHECK --interval=30s --timeout=20s --start-period=120s --retries=3 \
    CMD ["k4d-entrypoint", "ros2", "run", "k4d_bringup", "k4d-health"]
CMD ["ros2", "launch", "k4d_bringup", "simulation.launch.xml"]

FROM python:3.11-slim AS embedded
WORKDIR /k4d
COPY LICENSE Makefile README.md pyproject.toml ./
COPY config/ config/
COPY examples/ examples/
COPY launch/ launch/
COPY models/ models/
COPY requirements/ requirements/
COPY ros2_ws/ ros2_ws/
COPY tools/ tools/
# Debian's packages, the wheels and the message packages, as `make setup` does it on any machine. numba reads compiled
# kernels only from a folder that its user may write to.
RUN python tools/set_up.py && rm -rf /root/.cache /var/lib/apt/lists/* \
    && useradd --create-home --uid 10001 k4d \
    && chown -R 10001 ros2_ws/src/k4d_kinematics/k4d_kinematics/__pycache__
ENV OMP_WAIT_POLICY=PASSIVE \
    PATH=/k4d/.venv/bin:$PATH
USER 10001
HEALTHCHECK --interval=30s --timeout=20s --start-period=120s --retries=3 CMD ["k4d-health"]
CMD ["k4d-launch", "k4d_bringup", "simulation.launch.xml"]
