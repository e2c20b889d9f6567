"""What `tfds build datasets/nexperia` builds; the work is in data/records.py."""

from nexperia_tf.data import records


class Builder(records.Nexperia):
    """Device photographs, cleaned, deduplicated and split by lot."""
