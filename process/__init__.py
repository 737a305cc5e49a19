"""What every process does: settings, secrets, start and end, logs, back-off, retry, the HTTP front, probes."""
