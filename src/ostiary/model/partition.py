"""AWS partitions: every ARN, audience and endpoint of the product comes from this table.

Sources: IAM User Guide, "Configure SAML assertions for the authentication response" and AWS GovCloud (US)
User Guide, "SAML"; China's audience is unverified (from memory) and ``aws-eusc`` has no published SAML URL.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Partition:
    """One AWS partition.

    ``sign_in_host`` serves ``/saml``; that URL is the Recipient of an assertion, the ``SAML:aud`` of a trust
    policy and the Destination of a response. ``audience`` is the ``<Audience>`` of an assertion.
    ``okta_environment`` is the ``awsEnvironmentType`` of Okta's ``amazon_aws`` app (gov and cn unverified).
    """

    name: str
    sign_in_host: str
    audience: str
    home_region: str
    dns_suffix: str
    console_url: str
    okta_environment: str

    @property
    def sign_in_url(self) -> str:
        return f"https://{self.sign_in_host}/saml"

    def regional_sign_in_url(self, region: str) -> str:
        return f"https://{region}.{self.sign_in_host}/saml"

    def iam_arn(self, account_id: str, resource: str) -> str:
        """``resource`` is ``role/Name``, ``saml-provider/Name``, ``user/Name``, ``policy/Name``, ``root``."""
        return f"arn:{self.name}:iam::{account_id}:{resource}"

    def managed_policy_arn(self, name: str) -> str:
        return f"arn:{self.name}:iam::aws:policy/{name}"


PARTITIONS = {
    partition.name: partition
    for partition in (
        Partition(
            name="aws",
            sign_in_host="signin.aws.amazon.com",
            audience="urn:amazon:webservices",
            home_region="us-east-1",
            dns_suffix="amazonaws.com",
            console_url="https://console.aws.amazon.com/ec2/home",
            okta_environment="aws.amazon",
        ),
        Partition(
            name="aws-us-gov",
            sign_in_host="signin.amazonaws-us-gov.com",
            audience="urn:amazon:webservices:govcloud",
            home_region="us-gov-west-1",
            dns_suffix="amazonaws.com",
            console_url="https://console.amazonaws-us-gov.com/ec2/home",
            okta_environment="aws.govcloud",
        ),
        Partition(
            name="aws-cn",
            sign_in_host="signin.amazonaws.cn",
            audience="urn:amazon:webservices:cn-north-1",
            home_region="cn-north-1",
            dns_suffix="amazonaws.com.cn",
            console_url="https://console.amazonaws.cn/ec2/home",
            okta_environment="aws.china",
        ),
    )
}
