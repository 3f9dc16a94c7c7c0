"""The native bundle: manifest, contents and hashes, written from a snapshot and taken in again."""
