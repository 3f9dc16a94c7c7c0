"""What is stored, as values and as bytes: pure, no input or output, one canonical encoding each."""
