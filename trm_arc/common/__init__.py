"""What everything else stands on: errors, files, durations, devices, processes, text."""
