"""World models of RGB and pointmaps: their data sets."""
