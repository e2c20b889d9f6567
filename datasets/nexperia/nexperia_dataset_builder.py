"""What `tfds build datasets/nexperia` finds; the work is in nexperia_tf.data.records."""

from nexperia_tf.data import records


class Builder(records.Nexperia):
    """Device photographs, cleaned, deduplicated and split by lot."""
