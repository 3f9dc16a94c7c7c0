"""Names and bytes: where a repository's files live. A backend knows nothing of what is in them."""
