"""Samples on disk: the native lossless layout and the published one."""
