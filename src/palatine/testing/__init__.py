"""Builders of realistic palaces and other aids for tests: shipped, imported by no other part."""
