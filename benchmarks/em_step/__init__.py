"""One EM iteration against scikit-learn's: cases, steps, page."""
