"""How deep a signal reaches: semi-invariant metrics, drift, and the cut-off of random networks."""
