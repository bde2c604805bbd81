"""The AWS adapter: one file per resource kind. The only package that imports boto3."""
