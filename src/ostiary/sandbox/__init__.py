"""The embedded Okta org and AWS: functions from Request to Response over one World."""
