"""What a repository is: objects in packs, the index over them, snapshots, tags, sessions."""
