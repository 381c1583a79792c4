"""Calibration of a recorded camera: still poses and masks out of a bag, and files that say where the camera is."""
