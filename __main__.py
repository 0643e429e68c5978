"""`python -m mneme` is the command line."""

from .ui.cli import main

if __name__ == "__main__":
    main()
