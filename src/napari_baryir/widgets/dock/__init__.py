"""What all docks share: form, run, session, status."""
