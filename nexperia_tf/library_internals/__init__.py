"""What the libraries below do not promise to keep, one module for each library.

No other module uses a name that TensorFlow, Keras or TFDS does not document. Here each
stands with its reason, and tests/library_internals fail when one has gone or
is needed no longer.
"""
