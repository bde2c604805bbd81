"""From an appliance's file to an AMI by one of three routes, resumable at any point."""
