"""What `tfds build datasets/nexperia` builds; the work is in data/records/builder."""

from nexperia_tf.data.records import builder


class Builder(builder.Nexperia):
    """Device photographs, cleaned, deduplicated and split by lot."""
