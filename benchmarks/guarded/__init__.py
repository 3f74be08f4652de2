"""What the guard watches, and the primitives beside it."""
