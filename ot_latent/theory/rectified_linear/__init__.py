"""Linear pieces of ReLU networks, counted exactly, and the complexity of the manifolds they meet."""
