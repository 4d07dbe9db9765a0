"""Work on many images, one after the other."""
