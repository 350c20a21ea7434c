"""Used by everything else: errors, files, durations, devices, processes, text."""
