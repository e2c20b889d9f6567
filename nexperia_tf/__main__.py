"""`python -m nexperia_tf COMMAND`: the program `nexperia` of a checkout."""

from nexperia_tf import cli

if __name__ == "__main__":
    cli.main()
