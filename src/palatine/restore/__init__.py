"""From objects back into the outside world: directories, files, holes, times, owners."""
