"""The command line, one file per verb; imports what a verb needs only when it runs."""
