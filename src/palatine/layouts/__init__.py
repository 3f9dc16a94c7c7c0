"""What palatine knows of the families of palaces: one file for each; see docs/layouts.md."""
