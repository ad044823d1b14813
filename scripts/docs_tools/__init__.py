"""What `make docs` does besides turning Markdown into pages: equations, and reference pages that are made from the code."""
