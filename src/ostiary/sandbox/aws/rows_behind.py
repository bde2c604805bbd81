"""The operations that moto answers, behind our checks: EC2, Elastic Load Balancing, S3, KMS. See ``operations.py``.

Each is (name, resource, action, condition keys); action "" is the service's own name of the operation.
"""

from __future__ import annotations

_BUCKET, _OBJECT, _KEY = (
    "arn:{partition}:s3:::{Bucket}",
    "arn:{partition}:s3:::{Bucket}/{Key}",
    "{KeyArn}",
)
_TAGS = ("aws:RequestTag/${TagKey}", "aws:TagKeys")
Row = tuple[str, str, str, tuple[str, ...]]


def _ec2(kind: str) -> str:
    return f"arn:{{partition}}:ec2:{{region}}:{{account}}:{kind}"


def _elb(kind: str) -> str:
    return f"arn:{{partition}}:elasticloadbalancing:{{region}}:{{account}}:{kind}"


S3: tuple[Row, ...] = (
    ("CreateBucket", _BUCKET, "s3:CreateBucket", ()),
    ("DeleteBucket", _BUCKET, "s3:DeleteBucket", ()),
    ("HeadBucket", _BUCKET, "s3:ListBucket", ()),
    ("ListBuckets", "*", "s3:ListAllMyBuckets", ()),
    ("ListObjectsV2", _BUCKET, "s3:ListBucket", ("s3:prefix",)),
    ("GetBucketLocation", _BUCKET, "s3:GetBucketLocation", ()),
    ("PutPublicAccessBlock", _BUCKET, "s3:PutBucketPublicAccessBlock", ()),
    ("GetPublicAccessBlock", _BUCKET, "s3:GetBucketPublicAccessBlock", ()),
    ("PutBucketEncryption", _BUCKET, "s3:PutEncryptionConfiguration", ()),
    ("GetBucketEncryption", _BUCKET, "s3:GetEncryptionConfiguration", ()),
    ("PutBucketVersioning", _BUCKET, "s3:PutBucketVersioning", ()),
    ("GetBucketVersioning", _BUCKET, "s3:GetBucketVersioning", ()),
    ("PutBucketLifecycleConfiguration", _BUCKET, "s3:PutLifecycleConfiguration", ()),
    ("GetBucketLifecycleConfiguration", _BUCKET, "s3:GetLifecycleConfiguration", ()),
    ("PutBucketOwnershipControls", _BUCKET, "s3:PutBucketOwnershipControls", ()),
    ("GetBucketOwnershipControls", _BUCKET, "s3:GetBucketOwnershipControls", ()),
    ("PutBucketTagging", _BUCKET, "s3:PutBucketTagging", ()),
    ("GetBucketTagging", _BUCKET, "s3:GetBucketTagging", ()),
    ("PutObjectLockConfiguration", _BUCKET, "s3:PutBucketObjectLockConfiguration", ()),
    ("GetObjectLockConfiguration", _BUCKET, "s3:GetBucketObjectLockConfiguration", ()),
    ("PutObjectRetention", _OBJECT, "s3:PutObjectRetention", ()),
    ("PutObject", _OBJECT, "s3:PutObject", ("s3:if-none-match",)),
    ("GetObject", _OBJECT, "s3:GetObject", ()),
    ("HeadObject", _OBJECT, "s3:GetObject", ()),
    ("DeleteObject", _OBJECT, "s3:DeleteObject", ()),
)
KMS: tuple[Row, ...] = (
    ("CreateKey", "*", "", _TAGS),
    ("ListKeys", "*", "", ()),
    ("ListAliases", "*", "", ()),
    ("CreateAlias", _KEY, "", ()),
    ("UpdateAlias", _KEY, "", ()),
    ("DeleteAlias", _KEY, "", ()),
    ("DescribeKey", _KEY, "", ()),
    ("GetKeyPolicy", _KEY, "", ()),
    ("PutKeyPolicy", _KEY, "", ("kms:BypassPolicyLockoutSafetyCheck",)),
    ("EnableKey", _KEY, "", ()),
    ("DisableKey", _KEY, "", ()),
    ("ScheduleKeyDeletion", _KEY, "", ("kms:ScheduleKeyDeletionPendingWindowInDays",)),
    ("CancelKeyDeletion", _KEY, "", ()),
    ("TagResource", _KEY, "", _TAGS),
    ("UntagResource", _KEY, "", ("aws:TagKeys",)),
    ("ListResourceTags", _KEY, "", ()),
    ("Encrypt", _KEY, "", ()),
    ("Decrypt", _KEY, "", ()),
    ("GenerateDataKey", _KEY, "", ()),
    ("GetPublicKey", _KEY, "", ()),
    ("Sign", _KEY, "", ("kms:MessageType", "kms:SigningAlgorithm")),
    ("Verify", _KEY, "", ("kms:MessageType", "kms:SigningAlgorithm")),
)
EC2: tuple[Row, ...] = (
    *(
        (f"Describe{name}", "*", "", ())
        for name in (
            "Addresses",
            "AvailabilityZones",
            "InstanceAttribute",
            "InstanceStatus",
            "InstanceTypes",
            "InstanceTypeOfferings",
            "Instances",
            "InternetGateways",
            "LaunchTemplateVersions",
            "LaunchTemplates",
            "NetworkInterfaces",
            "Regions",
            "RouteTables",
            "SecurityGroupRules",
            "SecurityGroups",
            "Subnets",
            "Tags",
            "Volumes",
            "Vpcs",
        )
    ),
    ("GetEbsEncryptionByDefault", "*", "", ()),
    ("EnableEbsEncryptionByDefault", "*", "", ()),
    ("DisableEbsEncryptionByDefault", "*", "", ()),
    ("CreateVpc", _ec2("vpc/*"), "", _TAGS),
    ("CreateSubnet", _ec2("subnet/*"), "", _TAGS),
    ("DeleteSubnet", _ec2("subnet/{SubnetId}"), "", ()),
    ("DeleteVpc", _ec2("vpc/{VpcId}"), "", ()),
    ("DeleteVolume", _ec2("volume/{VolumeId}"), "", ()),
    ("CreateSecurityGroup", _ec2("security-group/*"), "", _TAGS),
    ("DeleteSecurityGroup", _ec2("security-group/{GroupId}"), "", ()),
    ("AuthorizeSecurityGroupIngress", _ec2("security-group/{GroupId}"), "", _TAGS),
    ("AuthorizeSecurityGroupEgress", _ec2("security-group/{GroupId}"), "", _TAGS),
    ("RevokeSecurityGroupIngress", _ec2("security-group/{GroupId}"), "", ()),
    ("RevokeSecurityGroupEgress", _ec2("security-group/{GroupId}"), "", ()),
    *(
        (f"UpdateSecurityGroupRuleDescriptions{way}", _ec2("security-group/{GroupId}"), "", ())
        for way in ("Ingress", "Egress")
    ),
    ("CreateLaunchTemplate", _ec2("launch-template/*"), "", _TAGS),
    ("CreateLaunchTemplateVersion", _ec2("launch-template/{LaunchTemplateId}"), "", ()),
    ("ModifyLaunchTemplate", _ec2("launch-template/{LaunchTemplateId}"), "", ()),
    ("DeleteLaunchTemplate", _ec2("launch-template/{LaunchTemplateId}"), "", ()),
    ("RunInstances", _ec2("instance/*"), "", _TAGS),
    ("TerminateInstances", _ec2("instance/{InstanceIds}"), "", ()),
    ("StartInstances", _ec2("instance/{InstanceIds}"), "", ()),
    ("StopInstances", _ec2("instance/{InstanceIds}"), "", ()),
    ("RebootInstances", _ec2("instance/{InstanceIds}"), "", ()),
    ("ModifyInstanceAttribute", _ec2("instance/{InstanceId}"), "", ()),
    ("ModifyInstanceMetadataOptions", _ec2("instance/{InstanceId}"), "", ()),
    ("AllocateAddress", _ec2("elastic-ip/*"), "", _TAGS),
    ("AssociateAddress", _ec2("elastic-ip/{AllocationId}"), "", ()),
    ("DisassociateAddress", _ec2("elastic-ip/*"), "", ()),
    ("ReleaseAddress", _ec2("elastic-ip/{AllocationId}"), "", ()),
    ("CreateTags", "{Resources}", "", _TAGS),
    ("DeleteTags", "{Resources}", "", ("aws:TagKeys",)),
)
ELB: tuple[Row, ...] = (
    *(
        (f"Describe{name}", "*", "", ())
        for name in (
            "ListenerAttributes",
            "Listeners",
            "LoadBalancerAttributes",
            "LoadBalancers",
            "Rules",
            "SSLPolicies",
            "Tags",
            "TargetGroupAttributes",
            "TargetGroups",
            "TargetHealth",
        )
    ),
    ("CreateLoadBalancer", _elb("loadbalancer/app/{Name}/*"), "", _TAGS),
    ("DeleteLoadBalancer", "{LoadBalancerArn}", "", ()),
    ("ModifyLoadBalancerAttributes", "{LoadBalancerArn}", "", ()),
    ("SetSecurityGroups", "{LoadBalancerArn}", "", ()),
    ("CreateTargetGroup", _elb("targetgroup/{Name}/*"), "", _TAGS),
    ("ModifyTargetGroup", "{TargetGroupArn}", "", ()),
    ("DeleteTargetGroup", "{TargetGroupArn}", "", ()),
    ("ModifyTargetGroupAttributes", "{TargetGroupArn}", "", ()),
    ("RegisterTargets", "{TargetGroupArn}", "", ()),
    ("DeregisterTargets", "{TargetGroupArn}", "", ()),
    ("CreateListener", "{LoadBalancerArn}", "", _TAGS),
    ("ModifyListener", "{ListenerArn}", "", ()),
    ("DeleteListener", "{ListenerArn}", "", ()),
    ("AddTags", "{ResourceArns}", "", _TAGS),
    ("RemoveTags", "{ResourceArns}", "", ("aws:TagKeys",)),
)
ACM: tuple[Row, ...] = (
    ("ImportCertificate", "arn:{partition}:acm:{region}:{account}:certificate/*", "", _TAGS),
    ("DescribeCertificate", "{CertificateArn}", "", ()),
    ("ListCertificates", "*", "", ()),
    ("DeleteCertificate", "{CertificateArn}", "", ()),
)
