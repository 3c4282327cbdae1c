"""Data with known structure: the (sparse) random hierarchy model, sensitivities, deformations."""
