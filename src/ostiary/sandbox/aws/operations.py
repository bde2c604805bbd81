"""Every operation that the embedded AWS serves: one row each; what has no row is refused.

Actions, resources and condition keys follow the Service Authorization Reference. A resource is an ARN template
over the request's parameters; an ``iam`` one without ``arn:`` belongs to the caller's account.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ostiary.sandbox.aws import (
    control_policies,
    iam_account,
    iam_policies,
    iam_roles,
    iam_saml,
    iam_users,
    organizations,
    rows_behind,
    s3_multipart,
    s3_objects,
    s3_policy,
    sts,
)
from ostiary.sandbox.aws.call import Call
from ostiary.sandbox.aws.iam_attach import GROUP, ROLE, USER
from ostiary.sandbox.aws.images.rows import EBS_ROWS, EC2_ROWS

READS = (
    *("Get", "List", "Describe", "Simulate", "Head", "Assume"),
    *("Encrypt", "Decrypt", "Generate", "Sign", "Verify"),
)
OPEN = ""  # the action of an operation that needs no permission


@dataclass(frozen=True, slots=True)
class Operation:
    """``run`` None: the operation is served by moto. ``action`` "" (OPEN): nobody has to be allowed it.

    ``keys`` names the condition keys beyond the global ones that the request carries.
    """

    service: str
    name: str
    run: Callable[[Call], dict[str, Any]] | None
    resource: str = "*"
    action: str = OPEN
    keys: tuple[str, ...] = ()

    @property
    def mutates(self) -> bool:
        return not self.name.startswith(READS)


_BOUNDARY = ("iam:PermissionsBoundary",)
_ATTACH = ("iam:PermissionsBoundary", "iam:PolicyARN")
_TAGS = ("aws:RequestTag/${TagKey}", "aws:TagKeys")
_ROLE, _USER, _GROUP = "role/{RoleName}", "user/{UserName}", "group/{GroupName}"
_SAML, _POLICY = "{SAMLProviderArn}", "{PolicyArn}"

Row = tuple[str, Callable[[Call], dict[str, Any]], str, tuple[str, ...]]
_IAM: tuple[Row, ...] = (
    ("CreateRole", iam_roles.create_role, "role{Path}{RoleName}", (*_BOUNDARY, *_TAGS)),
    ("GetRole", iam_roles.get_role, _ROLE, ()),
    ("ListRoles", iam_roles.list_roles, "role/", ()),
    ("UpdateRole", iam_roles.update_role, _ROLE, ()),
    ("UpdateRoleDescription", iam_roles.update_role_description, _ROLE, ()),
    ("UpdateAssumeRolePolicy", iam_roles.update_assume_role_policy, _ROLE, ()),
    ("DeleteRole", iam_roles.delete_role, _ROLE, ()),
    ("TagRole", iam_roles.tag_role, _ROLE, _TAGS),
    ("UntagRole", iam_roles.untag_role, _ROLE, ("aws:TagKeys",)),
    ("ListRoleTags", iam_roles.list_role_tags, _ROLE, ()),
    ("PutRolePermissionsBoundary", iam_roles.put_role_permissions_boundary, _ROLE, _BOUNDARY),
    ("DeleteRolePermissionsBoundary", iam_roles.delete_role_permissions_boundary, _ROLE, _BOUNDARY),
    ("AttachRolePolicy", ROLE.attach, _ROLE, _ATTACH),
    ("DetachRolePolicy", ROLE.detach, _ROLE, _ATTACH),
    ("ListAttachedRolePolicies", ROLE.list_attached, _ROLE, ()),
    ("PutRolePolicy", ROLE.put_policy, _ROLE, _BOUNDARY),
    ("GetRolePolicy", ROLE.get_policy, _ROLE, ()),
    ("DeleteRolePolicy", ROLE.delete_policy, _ROLE, _BOUNDARY),
    ("ListRolePolicies", ROLE.list_policies, _ROLE, ()),
    ("CreateSAMLProvider", iam_saml.create_saml_provider, "saml-provider/{Name}", _TAGS),
    ("GetSAMLProvider", iam_saml.get_saml_provider, _SAML, ()),
    ("ListSAMLProviders", iam_saml.list_saml_providers, "*", ()),
    ("UpdateSAMLProvider", iam_saml.update_saml_provider, _SAML, ()),
    ("DeleteSAMLProvider", iam_saml.delete_saml_provider, _SAML, ()),
    ("TagSAMLProvider", iam_saml.tag_saml_provider, _SAML, _TAGS),
    ("UntagSAMLProvider", iam_saml.untag_saml_provider, _SAML, ("aws:TagKeys",)),
    ("ListSAMLProviderTags", iam_saml.list_saml_provider_tags, _SAML, ()),
    ("CreatePolicy", iam_policies.create_policy, "policy{Path}{PolicyName}", _TAGS),
    ("GetPolicy", iam_policies.get_policy, _POLICY, ()),
    ("GetPolicyVersion", iam_policies.get_policy_version, _POLICY, ()),
    ("ListPolicies", iam_policies.list_policies, "policy/", ()),
    ("ListPolicyVersions", iam_policies.list_policy_versions, _POLICY, ()),
    ("CreatePolicyVersion", iam_policies.create_policy_version, _POLICY, ()),
    ("SetDefaultPolicyVersion", iam_policies.set_default_policy_version, _POLICY, ()),
    ("DeletePolicyVersion", iam_policies.delete_policy_version, _POLICY, ()),
    ("DeletePolicy", iam_policies.delete_policy, _POLICY, ()),
    ("ListEntitiesForPolicy", iam_account.list_entities_for_policy, _POLICY, ()),
    ("CreateUser", iam_users.create_user, "user{Path}{UserName}", (*_BOUNDARY, *_TAGS)),
    ("GetUser", iam_users.get_user, _USER, ()),
    ("ListUsers", iam_users.list_users, "user/", ()),
    ("DeleteUser", iam_users.delete_user, _USER, ()),
    ("TagUser", iam_users.tag_user, _USER, _TAGS),
    ("UntagUser", iam_users.untag_user, _USER, ("aws:TagKeys",)),
    ("ListUserTags", iam_users.list_user_tags, _USER, ()),
    ("AttachUserPolicy", USER.attach, _USER, _ATTACH),
    ("DetachUserPolicy", USER.detach, _USER, _ATTACH),
    ("ListAttachedUserPolicies", USER.list_attached, _USER, ()),
    ("PutUserPolicy", USER.put_policy, _USER, _BOUNDARY),
    ("GetUserPolicy", USER.get_policy, _USER, ()),
    ("DeleteUserPolicy", USER.delete_policy, _USER, _BOUNDARY),
    ("ListUserPolicies", USER.list_policies, _USER, ()),
    ("CreateAccessKey", iam_users.create_access_key, _USER, ()),
    ("ListAccessKeys", iam_users.list_access_keys, _USER, ()),
    ("UpdateAccessKey", iam_users.update_access_key, _USER, ()),
    ("DeleteAccessKey", iam_users.delete_access_key, _USER, ()),
    ("CreateLoginProfile", iam_users.create_login_profile, _USER, ()),
    ("GetLoginProfile", iam_users.get_login_profile, _USER, ()),
    ("DeleteLoginProfile", iam_users.delete_login_profile, _USER, ()),
    ("CreateGroup", iam_users.create_group, "group{Path}{GroupName}", ()),
    ("ListGroups", iam_users.list_groups, "group/", ()),
    ("ListGroupsForUser", iam_users.list_groups_for_user, _USER, ()),
    ("AddUserToGroup", iam_users.add_user_to_group, _GROUP, ()),
    ("RemoveUserFromGroup", iam_users.remove_user_from_group, _GROUP, ()),
    ("DeleteGroup", iam_users.delete_group, _GROUP, ()),
    ("AttachGroupPolicy", GROUP.attach, _GROUP, ("iam:PolicyARN",)),
    ("DetachGroupPolicy", GROUP.detach, _GROUP, ("iam:PolicyARN",)),
    ("ListAttachedGroupPolicies", GROUP.list_attached, _GROUP, ()),
    ("PutGroupPolicy", GROUP.put_policy, _GROUP, ()),
    ("GetGroupPolicy", GROUP.get_policy, _GROUP, ()),
    ("DeleteGroupPolicy", GROUP.delete_policy, _GROUP, ()),
    ("ListGroupPolicies", GROUP.list_policies, _GROUP, ()),
    ("CreateAccountAlias", iam_account.create_account_alias, "*", ()),
    ("DeleteAccountAlias", iam_account.delete_account_alias, "*", ()),
    ("ListAccountAliases", iam_account.list_account_aliases, "*", ()),
    ("GetAccountSummary", iam_account.get_account_summary, "*", ()),
    ("GetAccountPasswordPolicy", iam_account.get_account_password_policy, "*", ()),
    (
        "GetAccountAuthorizationDetails",
        iam_account.get_account_authorization_details,
        "*",
        (),
    ),
    (
        "SimulatePrincipalPolicy",
        iam_account.simulate_principal_policy,
        "{PolicySourceArn}",
        (),
    ),
)
_ORGANIZATIONS: tuple[Row, ...] = (
    ("DescribeOrganization", organizations.describe_organization, "*", ()),
    ("ListRoots", organizations.list_roots, "*", ()),
    ("ListAccounts", organizations.list_accounts, "*", ()),
    ("ListAccountsForParent", organizations.list_accounts_for_parent, "*", ()),
    (
        "ListOrganizationalUnitsForParent",
        organizations.list_organizational_units_for_parent,
        "*",
        (),
    ),
    ("ListChildren", organizations.list_children, "*", ()),
    ("ListParents", organizations.list_parents, "*", ()),
    ("DescribeAccount", organizations.describe_account, "*", ()),
    ("DescribeOrganizationalUnit", organizations.describe_organizational_unit, "*", ()),
    ("ListTagsForResource", organizations.list_tags_for_resource, "*", ()),
    ("ListPoliciesForTarget", control_policies.list_policies_for_target, "*", ()),
    ("ListPolicies", control_policies.list_policies, "*", ()),
    ("DescribePolicy", control_policies.describe_policy, "*", ()),
    ("CreatePolicy", control_policies.create_policy, "*", _TAGS),
    ("DeletePolicy", control_policies.delete_policy, "*", ()),
    ("AttachPolicy", control_policies.attach_policy, "*", ()),
    ("DetachPolicy", control_policies.detach_policy, "*", ()),
    ("CreateAccount", organizations.create_account, "*", _TAGS),
    ("DescribeCreateAccountStatus", organizations.describe_create_account_status, "*", ()),
)
_BUCKET, _OBJECT = "arn:{partition}:s3:::{Bucket}", "arn:{partition}:s3:::{Bucket}/{Key}"
_S3: tuple[tuple[str, Callable[[Call], dict[str, Any]], str, str], ...] = (
    ("CreateMultipartUpload", s3_multipart.create_multipart_upload, _OBJECT, "PutObject"),
    ("UploadPart", s3_multipart.upload_part, _OBJECT, "PutObject"),
    ("CompleteMultipartUpload", s3_multipart.complete_multipart_upload, _OBJECT, "PutObject"),
    ("AbortMultipartUpload", s3_multipart.abort_multipart_upload, _OBJECT, "AbortMultipartUpload"),
    ("ListParts", s3_multipart.list_parts, _OBJECT, "ListMultipartUploadParts"),
    ("GetObjectAttributes", s3_objects.get_object_attributes, _OBJECT, "GetObjectAttributes"),
    (
        "ListMultipartUploads",
        s3_multipart.list_multipart_uploads,
        _BUCKET,
        "ListBucketMultipartUploads",
    ),
    ("PutBucketPolicy", s3_policy.put_bucket_policy, _BUCKET, "PutBucketPolicy"),
    ("GetBucketPolicy", s3_policy.get_bucket_policy, _BUCKET, "GetBucketPolicy"),
    ("DeleteBucketPolicy", s3_policy.delete_bucket_policy, _BUCKET, "DeleteBucketPolicy"),
)


def _rows(service: str, rows: tuple[Row, ...]) -> tuple[Operation, ...]:
    return tuple(
        Operation(service, name, run, resource, f"{service}:{name}", keys)
        for name, run, resource, keys in rows
    )


def _behind(service: str, rows: tuple[rows_behind.Row, ...]) -> tuple[Operation, ...]:
    return tuple(
        Operation(service, name, None, resource, action or f"{service}:{name}", keys)
        for name, resource, action, keys in rows
    )


OPERATIONS: Mapping[tuple[str, str], Operation] = {
    (row.service, row.name): row
    for row in (
        *_rows("iam", _IAM),
        *_rows("organizations", _ORGANIZATIONS),
        # AssumeRole is decided by the role's trust policy together with the caller's own policies
        Operation("sts", "AssumeRole", sts.assume_role, "{RoleArn}", OPEN, ("sts:ExternalId",)),
        Operation("sts", "GetCallerIdentity", sts.get_caller_identity),
        Operation("sts", "GetSessionToken", sts.get_session_token),
        Operation("sts", "GetAccessKeyInfo", sts.get_access_key_info, "*", "sts:GetAccessKeyInfo"),
        *_rows("ec2", EC2_ROWS),
        *_rows("ebs", EBS_ROWS),
        *_behind("ec2", rows_behind.EC2),
        *_behind("elasticloadbalancing", rows_behind.ELB),
        *_behind("acm", rows_behind.ACM),
        *_behind("s3", rows_behind.S3),
        *(
            Operation("s3", name, run, resource, f"s3:{action}")
            for name, run, resource, action in _S3
        ),
        *_behind("kms", rows_behind.KMS),
    )
}
