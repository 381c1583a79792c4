"""`ros2 launch` for machines without a ROS installation: the subset of launch_xml and launch_ros that k4d uses.

Reading follows launch_xml 3.7 and launch_ros 0.28: what is accepted here means the same there. Stopping is stricter:
a child that fails takes the launch down, and nothing outlives it.
"""
