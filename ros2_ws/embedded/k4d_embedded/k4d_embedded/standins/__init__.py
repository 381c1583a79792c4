"""Packages that `k4d_embedded.finder` serves under their own top-level names where no real package has that name."""
