"""A model of a cluster: its costs, its simulation, and what it predicts."""
