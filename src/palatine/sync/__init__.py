"""Copying snapshots from one repository to another: who gives, who takes, and the wire between."""
