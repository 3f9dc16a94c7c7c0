"""One module per command: a function of the command's name, EXAMPLES and EXIT_CODES.

EXIT_CODES are those beyond what every command has, each with what it means here, or an empty text
where it means what it always does.
"""
