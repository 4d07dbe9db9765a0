"""The Degradation map dock."""
