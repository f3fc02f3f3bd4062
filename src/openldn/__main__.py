"""`python -m openldn` is the same as `openldn`."""

from openldn.cli import main

if __name__ == "__main__":
    main()
