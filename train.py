"""The command `nexperia train`, from a checkout."""

from nexperia_tf import cli

if __name__ == "__main__":
    cli.run("train", prog="train.py")
