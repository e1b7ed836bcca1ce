"""A bucket of S3, or of a store with its API: `bucket` opens it, `object_driver` moves the bytes."""
