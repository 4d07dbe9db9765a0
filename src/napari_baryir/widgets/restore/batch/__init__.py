"""The Restore dock's batch tab."""
