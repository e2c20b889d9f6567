"""The command `nexperia evaluate`, from a checkout."""

from nexperia_tf import cli

if __name__ == "__main__":
    cli.run("evaluate", prog="evaluate.py")
