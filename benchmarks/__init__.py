"""Measurements beside peers: ``python -m benchmarks`` lists and runs them; README.md reads them."""
