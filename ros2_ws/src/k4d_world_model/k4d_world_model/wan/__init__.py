"""The world model of Kinema4D on diffusers' Wan transformer, at any size."""
