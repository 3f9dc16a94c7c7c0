"""From the outside world into objects: walking a palace, reading its files, cutting them."""
