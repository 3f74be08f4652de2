"""What bounds a reading: formats read directly, stacks sampled, and the page."""
