"""Bag replay and recording, and the demonstration of k4d; its launch files and configuration lie in share/."""
