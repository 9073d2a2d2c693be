"""Everything up to a padded batch: files -> VideoRecord -> TFDS example -> Batch. Never imports jax."""
