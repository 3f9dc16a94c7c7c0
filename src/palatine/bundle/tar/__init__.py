"""Archives: tar headers, what no archive may say, and names that nobody vouches for."""
