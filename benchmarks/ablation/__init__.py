"""What each part of a fit buys: the ways that are compared, and their page."""
