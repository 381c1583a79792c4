"""Episodes and the data sets that keep them."""
