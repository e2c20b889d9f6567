"""`python -m nexperia_tf.study`."""

from nexperia_tf import command
from nexperia_tf.study import command as study

if __name__ == "__main__":
    command.run(study.main, study.Arguments, prog="python -m nexperia_tf.study")
