"""What capture and restore both need to know of SQLite: its sidecar files, later its locks."""
