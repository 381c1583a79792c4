"""What has no wheel, for machines without a ROS installation; real packages always win over its stand-ins."""
