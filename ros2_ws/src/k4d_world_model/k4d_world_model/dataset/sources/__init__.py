"""Readers that bring recorded data of other formats as episodes."""
