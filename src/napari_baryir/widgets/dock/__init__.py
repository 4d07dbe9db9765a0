"""The parts that all docks share: form, run, session, status."""
