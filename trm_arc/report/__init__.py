"""Reports on runs: training curves, and the pictures of the kit in one style."""
