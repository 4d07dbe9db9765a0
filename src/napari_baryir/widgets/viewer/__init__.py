"""The viewer's layers: reading them, adding and drawing ours."""
