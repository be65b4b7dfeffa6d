"""`mnv4 report`: what was measured as one page, as Markdown or as a table."""
