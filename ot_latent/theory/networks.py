"""One reading of PyTorch models for all of the theory: affine maps and the kinks between them."""
