"""Programs that measure what the README states; none is a test."""
