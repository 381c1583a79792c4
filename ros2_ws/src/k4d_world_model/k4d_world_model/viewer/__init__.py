"""A local web page that shows a predicted future: the cloud over time, the robot, the camera and its picture."""
