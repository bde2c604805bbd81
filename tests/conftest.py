"""What botocore knows of AWS is read once for all sessions of a process: tests make hundreds of them, of their own."""

import functools

import botocore.loaders
import botocore.session

botocore.loaders.create_loader = functools.cache(botocore.loaders.create_loader)
botocore.session.create_loader = botocore.loaders.create_loader
