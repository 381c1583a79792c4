"""What is said of the samples of a data set: damage, flags, pictures, figures."""
